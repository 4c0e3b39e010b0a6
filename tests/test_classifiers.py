"""Base classifiers, input normalization and checkpoints."""

import os
from pathlib import Path

import pytest
import torch
import torchvision
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torchvision.transforms.v2.functional import normalize

from vqexp.classifiers import (
    Normalized,
    STNCifar,
    efficientnet_v2_s,
    load_checkpoint,
    resnet18,
    resnet18_torchvision,
    resnet50,
    small_cnn,
    small_resnet,
    wide_resnet,
)
from vqexp.core.errors import ConfigError, MissingError
from vqexp.reports.spec.choices import read_settings

SHARED = Path(__file__).parents[2] / "shared"
DATA = Path(os.environ.get("VQEXP_DATA", SHARED / "data"))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("build", "shape", "settings"),
    [
        (small_cnn, (1, 8, 8), {}),
        (small_cnn, (3, 32, 32), {"width": 8}),
        (small_resnet, (1, 28, 28), {}),
        (small_resnet, (3, 32, 32), {"width": 8}),
        (resnet18, (1, 28, 28), {}),
        (resnet18, (3, 32, 32), {}),
        (wide_resnet, (1, 28, 28), {"depth": 10, "widen_factor": 2, "dropout": 0.3}),
        (wide_resnet, (3, 32, 32), {"depth": 28, "widen_factor": 10}),
        (wide_resnet, (3, 32, 32), {"depth": 34, "widen_factor": 10, "dropout": 0.3}),
        (resnet18_torchvision, (1, 28, 28), {}),
        (resnet18_torchvision, (3, 32, 32), {}),
        (resnet50, (3, 64, 64), {"weights": None}),
        (efficientnet_v2_s, (3, 64, 64), {"weights": None}),
    ],
)
def test_images_to_logits(build, shape, settings):
    classifier = build(shape=shape, num_classes=7, **settings).eval()
    with torch.no_grad():
        logits = classifier(torch.rand(2, *shape))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
def test_resnet18_is_torchvisions_with_a_small_stem(channels):
    reference = torchvision.models.resnet18(num_classes=10)
    reference.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
    reference.maxpool = nn.Identity()
    classifier = resnet18((channels, 32, 32), 10)
    expected, found = reference.state_dict(), classifier.state_dict()
    assert {name: value.shape for name, value in expected.items()} == {
        name: value.shape for name, value in found.items()
    }
    classifier.load_state_dict(expected)
    images = torch.rand(2, channels, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(classifier.eval()(images), reference.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("depth", "classes", "parameters"),
    [(28, 10, 36_479_194), (28, 100, 36_536_884), (34, 10, 46_160_474)],
)
def test_wide_resnet_has_the_known_size(depth, classes, parameters):
    with torch.device("meta"):
        assert count(wide_resnet((3, 32, 32), classes, depth, 10)) == parameters


@pytest.mark.parametrize("settings", [{"depth": 27}, {"depth": 4}, {"widen_factor": 0}, {"dropout": 1.0}])
def test_wide_resnet_refuses_bad_settings(settings):
    with pytest.raises(ConfigError, match=f"classifier.{next(iter(settings))}"):
        wide_resnet((3, 32, 32), 10, **settings)


def test_small_resnet_is_small():
    f = small_resnet((3, 32, 32), 10)
    assert count(f) == 308_650
    maps = [tuple(f[:end](torch.rand(1, 3, 32, 32)).shape[1:]) for end in (3, 4, 5, 6)]
    assert maps == [(32, 16, 16), (32, 16, 16), (64, 8, 8), (128, 4, 4)]
    with pytest.raises(ConfigError, match="width"):
        small_resnet((3, 32, 32), 10, width=0)


def test_small_cnn_refuses_no_width():
    with pytest.raises(ConfigError, match="width is 0"):
        small_cnn((1, 8, 8), 10, width=0)


def test_imagenet_models_refuse_what_does_not_fit():
    with pytest.raises(ConfigError, match="RGB"):
        resnet50((1, 64, 64), 1000)
    with pytest.raises(ConfigError, match="IMAGENET1K_V2"):
        resnet50((3, 64, 64), 1000, weights="IMAGENET")
    with pytest.raises(ConfigError, match="1000 classes, the dataset has 10"):
        efficientnet_v2_s((3, 64, 64), 10, weights="IMAGENET1K_V1")


def test_weights_that_cannot_be_downloaded_say_what_to_fetch(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route\nto host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(MissingError, match=r"no route to host.*resnet50-.*pth.*checkpoint=PATH") as caught:
        resnet50((3, 64, 64), 1000, weights="IMAGENET1K_V2")
    assert "\n" not in str(caught.value)


def test_normalized():
    images = torch.rand(4, 3, 5, 5)
    classifier = Normalized(nn.Identity(), mean=[0.1, 0.2, 0.3], std=0.5, channels=3)
    expected = normalize(images, [0.1, 0.2, 0.3], [0.5, 0.5, 0.5])
    torch.testing.assert_close(classifier(images), expected)
    torch.testing.assert_close(Normalized(nn.Identity())(images), images)
    torch.testing.assert_close(Normalized(nn.Identity(), mean=0.5, channels=3)(images), images - 0.5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"mean": [0.5, 0.5]}, "mean has 2 values"),
        ({"std": []}, "std has 0 values"),
        ({"std": 0}, "std must be positive"),
        ({"std": [1, -1, 1]}, "std must be positive"),
        ({"mean": float("nan")}, "finite"),
        ({"mean": ["a", "b", "c"]}, "finite"),
    ],
)
def test_normalized_refuses(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        Normalized(nn.Identity(), channels=3, **settings)


CONFIGS = sorted((Path(__file__).parents[1] / "conf" / "classifier").glob("*.yaml"))
# RobustBench's need weights (tests/test_tables.py), one of your own a target, a library's a name or a folder
ELSEWHERE = ("huggingface", "own", "robustbench", "timm", "torchvision")
CONFIGS = [path for path in CONFIGS if path.stem not in ELSEWHERE]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_build(path):
    config = OmegaConf.create({"dataset": {"shape": [3, 32, 32], "num_classes": 5}})
    config.classifier = read_settings(path)
    settings = OmegaConf.to_container(config, resolve=True)["classifier"]
    assert settings.pop("checkpoint") == "auto"
    assert settings.pop("statistics") == "running"
    mean, std = settings.pop("mean"), settings.pop("std")
    if settings.get("weights"):
        assert settings["weights"] in torchvision.models.get_model_weights(path.stem).__members__
        settings["weights"] = None
    with torch.device("meta"):
        network = instantiate(settings)
    images = torch.rand(2, 3, 4, 4)
    assert Normalized(nn.Identity(), mean, std, channels=3)(images).shape == images.shape
    last = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    assert (last.out_features if isinstance(last, nn.Linear) else last.out_channels) == 5


def shared_accuracy(name, shape, n, network=None, weights=None, sigma=0.0):
    """The accuracy of shared weights, by default ResNet18's, on the first `n` test images, with noise."""
    from vqexp.data import ImageFiles

    checkpoint = SHARED / "checkpoints" / f"{weights or name + '-resnet18'}.safetensors"
    if not checkpoint.exists() or not (DATA / name / "test.parquet").exists():
        pytest.skip(f"needs the real {name} test images and {checkpoint.name}")
    classifier = (network or resnet18(shape, 10)).eval().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    load_checkpoint(classifier, checkpoint)
    images = ImageFiles(name=name, shape=shape, num_classes=10, root=str(DATA)).load("test", n)
    right = 0
    with torch.inference_mode():
        for start in range(0, n, 50):  # larger batches leave the cache
            rows = slice(start, min(start + 50, n))
            pixels = images.pixels(rows)
            pixels = pixels + sigma * torch.randn(pixels.shape, generator=generator)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            right += int((classifier(pixels).argmax(1) == images.labels[rows]).sum())
    return right / n


@pytest.mark.shared
def test_cifar10_checkpoint_accuracy():
    """0.9141 on all 10,000; three standard errors on the first 200."""
    assert shared_accuracy("cifar10", (3, 32, 32), 200) == pytest.approx(0.9141, abs=0.06)


@pytest.mark.shared
def test_mnist_checkpoint_accuracy():
    assert shared_accuracy("mnist", (1, 28, 28), 150) > 0.97


@pytest.mark.shared
@pytest.mark.parametrize(("sigma", "low", "high"), [(0, 0.72, 0.9), (100 / 255, 0.52, 0.77)])
def test_the_released_stn_network(sigma, low, high):
    network = STNCifar((3, 32, 32), 10)
    assert low < shared_accuracy("cifar10", (3, 32, 32), 100, network, "cifar10-stn", sigma) < high


def test_the_pools_of_stn_pad_as_tensorflow_does():
    """`same` for 3 x 3 at stride 2: right and bottom for an even size, both sides for an odd one."""
    for size, expected in ((8, 4), (9, 5), (32, 16)):
        network, seen = STNCifar((1, size, size), 2).eval(), []
        network.conv3.register_forward_pre_hook(
            lambda module, inputs, seen=seen: seen.append(inputs[0].shape[-1])
        )
        network(torch.rand(1, 1, size, size))
        assert seen == [expected]
