"""timm's networks: the normalization is inside, settings replace it, and mistakes are one line."""

import pytest
import torch

from vqexp.classifiers import Normalized, load_checkpoint, normalized, save_checkpoint, timm
from vqexp.core.errors import ConfigError

library = pytest.importorskip("timm")
NAME = "test_resnet.r160_in1k"  # 0.5 million parameters


def test_logits_are_timms_on_normalized_images(tmp_path):
    torch.manual_seed(0)
    classifier = timm((3, 32, 32), 1000, NAME).eval()
    assert classifier.mean.flatten().tolist() == pytest.approx(library.get_pretrained_cfg(NAME).mean)
    reference = library.create_model(NAME, num_classes=1000).eval()
    save_checkpoint(classifier, tmp_path / "f.safetensors")
    load_checkpoint(reference, tmp_path / "f.safetensors")  # the file has timm's names
    data = library.data.resolve_model_data_config(reference)
    images = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(data[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(classifier(images), reference((images - mean) / std))


def test_settings_take_the_place_of_its_normalization():
    classifier = timm((1, 32, 32), 10, NAME)
    assert classifier.mean.numel() == 1  # of grey images: the mean over the channels
    changed = normalized(classifier, 0.25, None, 1)
    assert isinstance(changed, Normalized)
    assert changed.network is classifier.network
    assert changed.mean.item() == 0.25
    assert changed.std.equal(classifier.std)
    assert normalized(classifier, None, None, 1) is classifier


def test_mistakes():
    with pytest.raises(ConfigError, match=r"name=resnet is no network of timm; close are .*resnet"):
        timm((3, 32, 32), 10, "resnet")
    with pytest.raises(ConfigError, match="weights have 1000 classes, the dataset has 10"):
        timm((3, 32, 32), 10, NAME, pretrained=True)


def test_a_mean_that_does_not_fit_the_channels_is_refused(vqexp):
    status, _, err = vqexp("scale=smoke", "classifier.mean=[0.5,0.5,0.5]")
    assert status == 2
    assert "classifier.mean has 3 values; it must have one, or one for each channel" in err
