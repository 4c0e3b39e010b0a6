"""A classifier of one's own: its weights are respected, and a wrong output is one line before work starts."""

import importlib
import sys

import pytest
import torch

from vqexp.core.errors import ConfigError
from vqexp.pipeline import prepare

MINE = """
import torch
from torch import nn

def fresh(shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], num_classes))

def ready(value=1.0):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        network[1].weight.copy_(value * torch.arange(640.0).view(10, 64))
        network[1].bias.zero_()
    return network

def zeros():
    network = ready(0.0)
    return network

def new_head():
    return nn.Sequential(ready(), nn.Linear(10, 10))

def broken():
    raise OSError("no such folder")

class Says(nn.Module):
    def __init__(self, how="dict"):
        super().__init__()
        self.how, self.layer = how, ready()
    def forward(self, images):
        logits = self.layer(images)
        return {"dict": {"logits": logits}, "tuple": (logits, images), "squeezed": logits.squeeze(),
                "classes": logits[:, :4], "map": images}[self.how]

def rgb():
    return nn.Sequential(nn.Conv2d(3, 10, 8), nn.Flatten())
"""


@pytest.fixture
def f(config, tmp_path, monkeypatch):
    """The experiment with a classifier of the module `mine`."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()

    def make(name, *overrides):
        return prepare(config(f"classifier._target_=mine.{name}", *overrides), check_store=False)

    return make


def test_ready_made_weights_are_not_trained_over(f, capsys):
    ready = f("ready")
    assert ready.training is None
    assert (
        "mine.ready comes with weights, which no seed changes: it is not trained" in capsys.readouterr().err
    )
    assert ready.classifier()[1].weight.equal(torch.arange(640.0).view(10, 64))
    other = f("ready", "classifier.value=2.0")
    assert ready.origin["weights"] != other.origin["weights"]  # what they are is part of the key


def test_all_else_is_trained(f, tmp_path):
    assert all(f(name).training is not None for name in ("fresh", "zeros", "new_head"))
    torch.save(f("ready").classifier().state_dict(), tmp_path / "start.pt")
    assert f("ready", f"training.start={tmp_path / 'start.pt'}").training is not None


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("Says", "dict", "the classifier returns dict for 1 images; it must return logits"),
        ("Says", "tuple", "the classifier returns tuple for 1 images"),
        ("Says", "squeezed", r"the classifier returns \(10,\) for 1 images"),
        ("Says", "map", r"the classifier returns \(1, 1, 8, 8\) for 1 images"),
        ("Says", "classes", "logits of 4 classes; the dataset has 10"),
        ("rgb", None, r"the classifier fails on an image of shape \(1, 8, 8\): RuntimeError: Given groups=1"),
        ("broken", None, "mine.broken cannot be built: OSError: no such folder"),
    ],
)
def test_a_wrong_output_is_told_before_work_starts(f, name, setting, message):
    with pytest.raises(ConfigError, match=message) as told:
        f(name, *([f"classifier.how={setting}"] if setting else []))
    assert "\n" not in str(told.value)


def test_torchvision_by_name(config):
    with pytest.raises(ConfigError, match=r"classifier\.name is 'resnet19'; it must be one of alexnet"):
        prepare(config("classifier=torchvision", "classifier.name=resnet19"), check_store=False)
    with pytest.raises(ConfigError, match="takes RGB images"):
        prepare(config("classifier=torchvision", "classifier.name=mobilenet_v3_small"), check_store=False)
