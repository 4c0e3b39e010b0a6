"""Networks of transformers: logits are its own on normalized images, and mistakes are one line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vqexp.classifiers import HuggingFace
from vqexp.core.errors import ConfigError
from vqexp.core.notes import note
from vqexp.pipeline import prepare
from vqexp.pipeline.stages import Stages

transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def vit(folder, num_labels):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(**sizes, image_size=16, patch_size=4, num_labels=num_labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTForImageClassification(config).save_pretrained(folder)


@pytest.fixture
def folder(tmp_path):
    """A tiny ViT for images of (3, 16, 16) and four classes, as `save_pretrained` writes it."""
    vit(tmp_path / "vit", num_labels=4)
    preprocess(tmp_path / "vit", image_mean=MEAN, image_std=STD)
    return tmp_path / "vit"


def preprocess(folder, **settings):
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def made(folder, shape=(3, 16, 16), classes=4):
    return HuggingFace(shape, classes, str(folder)).eval()


def test_logits_are_those_of_transformers(folder, capfd):
    images = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    network = made(folder)
    assert capfd.readouterr() == ("", "")
    reference = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference((images - mean) / std).logits)


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"do_normalize": False}, 0, 1),
        ({"do_normalize": True, "image_mean": [0.5], "image_std": [0.25]}, 0.5, 0.25),
        ({"do_rescale": False, "image_mean": [127.5], "image_std": [51.0]}, 0.5, 0.2),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1.0], "image_std": [1.0]}, 0.5, 0.5),
    ],
)
def test_the_normalization_is_for_images_in_0_to_1(folder, settings, mean, std):
    preprocess(folder, **settings)
    network = made(folder)
    assert network.mean.flatten().tolist() == pytest.approx([mean])
    assert network.std.flatten().tolist() == pytest.approx([std])


def test_without_a_normalization_it_says_so(folder, capsys):
    (folder / "preprocessor_config.json").unlink()
    note.cache_clear()
    assert made(folder).std.tolist() == [[[[1.0]]]]
    assert "images are not normalized unless classifier.mean and .std say how" in capsys.readouterr().err


def test_mistakes_are_one_line(folder, tmp_path):
    def refused(message, *arguments):
        with pytest.raises(ConfigError, match=message) as error:
            made(*arguments)
        assert "\n" not in str(error.value)

    refused("is no folder with a config.json", tmp_path)
    refused("vit has 4 classes, the dataset has 10", folder, (3, 16, 16), 10)
    refused("classifier.mean has 3 values", folder, (1, 16, 16))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weights[name] for name in weights if "classifier" not in name}, folder / "w", {"format": "pt"}
    )
    (folder / "w").replace(folder / "model.safetensors")
    refused(r"lacks weights, which would be random: classifier\.bias, classifier\.weight", folder)
    (folder / "model.safetensors").write_bytes(b"nothing")
    refused("holds no image classifier", folder)


def test_a_run_knows_the_weights(folder, config, enlarged_digits, monkeypatch):
    monkeypatch.setenv("VQEXP_DATA", str(enlarged_digits))
    chosen = ["dataset=cifar10", "attack=none", "classifier=huggingface", f"classifier.path={folder}"]
    with pytest.raises(ConfigError, match="4 classes, the dataset has 10"):
        prepare(config(*chosen), check_store=False)
    vit(folder, num_labels=10)
    with pytest.raises(ConfigError, match=r"fails on an image of shape \(3, 32, 32\): ValueError: .*16"):
        prepare(config(*chosen), check_store=False)
    network = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], num_labels=10)
    )
    network.save_pretrained(folder)
    first = Stages(prepare(config(*chosen), check_store=False))
    assert first.experiment.training is None
    assert first.classifier(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    with torch.no_grad():
        network.classifier[1].bias += 1
    network.save_pretrained(folder)
    changed = Stages(prepare(config(*chosen), check_store=False))
    assert changed.classifier_key != first.classifier_key
