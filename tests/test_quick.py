"""What a quick audit asks of a model: few enough passes for two minutes on two cores."""

from collections import Counter

import pytest
import torch
from torch import nn

import vqexp
from vqexp.reports.sweep.audit import alternatives, spared

N = 64
# on two cores, at 32 x 32 pixels, a ResNet18 takes 7 ms a forward and 14 ms a backward pass: 85 s in all
MOST = {"forward": 7200, "backward": 2500}
PASSES: Counter[str] = Counter()


class Counted(nn.Module):
    """A small f that counts the images of its forward and backward passes, copies of it included."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, images):
        PASSES["forward"] += len(images)
        features = self.first(images.flatten(1)).relu()
        if features.requires_grad:
            features.register_hook(lambda gradient: PASSES.update(backward=len(gradient)))
        return self.last(features)


class Noise(nn.Module):
    def forward(self, images):
        return images + 0.01 * torch.randn_like(images)


@pytest.fixture(scope="module")
def report():
    torch.manual_seed(0)
    model, images = Counted().eval(), torch.rand(N, 1, 8, 8)
    labels = model(images).argmax(1)
    PASSES.clear()
    # an eps at which no attack succeeds on every image, and so none ends early
    return vqexp.audit(model, images, labels, defense=Noise(), eps=0.02, told=False)


def test_a_quick_audit_of_a_random_defense_takes_few_passes(report):
    assert report.worst_case.per_image.shape == (N,)
    assert report.worst_case.mean > 0.1
    for kind, most in MOST.items():
        assert most / 2 < PASSES[kind] <= most


def test_it_leaves_out_what_a_stronger_row_makes_unnecessary(report):
    left = report.result.left_out
    assert left["PGD, true gradient"] == "scale=quick has no time for it beside PGD, EOT, true gradient"
    assert left["AutoAttack, EOT"] == "scale=quick has no time for it"
    assert not report.result.missing
    assert "curve: eps (10 rows)" in " ".join(str(report).split())
    assert "strength (8 rows)" in " ".join(str(report).split())


def test_the_first_alternative_that_makes_sense_is_taken():
    wanted = alternatives(["PGD, margin", ["EOT", "true"]])
    assert wanted == [["PGD, margin"], ["EOT", "true"]]
    assert alternatives(None) is None
    assert spared(wanted, ["PGD, margin", "true 1", "true 2", "EOT"]) == {"true 1": "EOT", "true 2": "EOT"}
    assert spared(wanted, ["PGD, margin", "true 1", "true 2"]) == {}
