"""The losses that attacks maximize, and the schedules of PGD's step size."""

import math

import pyautoattack.autopgd_base
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchattacks import CW

from vqexp.adversaries import View
from vqexp.attacks import PGD
from vqexp.attacks.losses import LOSSES, capped, margin_loss


@pytest.fixture
def logits():
    """Logits (50, 10), labels (50,): half of them right."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 10, generator=generator)
    labels = torch.randint(10, (50,), generator=generator)
    labels[::2] = logits.argmax(1)[::2]
    return logits, labels


def test_dlr_is_the_authors(logits):
    attack = pyautoattack.autopgd_base.APGDAttack(nn.Identity(), eps=1.0)
    torch.testing.assert_close(LOSSES["dlr"](*logits), attack.dlr_loss(*logits))


def test_margin_is_carlini_and_wagners(logits):
    """Theirs is to be minimized and stops at -kappa; on logits >= 0 torchattacks has it right."""
    values, labels = logits[0] - logits[0].min(), logits[1]
    attack = CW(nn.Linear(1, 1), kappa=1e6)
    torch.testing.assert_close(LOSSES["margin"](values, labels), -attack.f(values, labels))


def test_a_confident_margin_has_the_gradient_of_madrys_cw_loss(logits):
    """-relu(own - other + kappa), which is to be maximized."""
    values, labels = 10 * logits[0].double(), logits[1]
    slopes = []
    for written_out in (True, False):
        leaf = values.clone().requires_grad_()
        own = leaf.gather(1, labels[:, None])[:, 0]
        others = leaf.masked_fill(torch.nn.functional.one_hot(labels, 10).bool(), -1e4).amax(1)
        terms = -torch.relu(own - others + 20) if written_out else capped(margin_loss, 20)(leaf, labels)
        slopes += torch.autograd.grad(terms.sum(), leaf)
    assert torch.equal(*slopes)
    still = (slopes[0] == 0).all(1)
    assert still.any()
    assert not still.all()


def test_pgd_stops_where_the_margin_is_enough():
    """On a linear view each step of length 0.1 adds 0.2 to the margin."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    model[1].weight.data = torch.tensor([[-1.0], [1.0]])
    settings = {"eps": 1, "steps": 9, "step_size": 0.1, "loss": "margin", "random_start": False, "norm": "l2"}
    for confidence, end in ((None, 0.9), (0.5, 0.3)):
        attack = PGD(confidence=confidence, **settings)
        found = attack.run(View(model), torch.zeros(1, 1, 1, 1), torch.tensor([0]), seed=0)
        assert found.images.item() == pytest.approx(end, abs=1e-6)


def test_ce_is_minus_log_softmax(logits):
    values, labels = logits
    expected = [-math.log(p[label]) for p, label in zip(values.double().softmax(1), labels, strict=True)]
    torch.testing.assert_close(LOSSES["ce"](*logits), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@settings(max_examples=30)
@given(scale=st.floats(0.1, 100), shift=st.floats(-100, 100))
def test_what_leaves_a_loss_unchanged(scale, shift):
    values = torch.tensor([[1.0, 4, 2, -3], [0, -1, 5, 2]], dtype=torch.float64)
    labels = torch.tensor([1, 0])
    for name, factor in (("ce", None), ("margin", scale), ("dlr", 1)):
        loss = LOSSES[name]
        torch.testing.assert_close(loss(values + shift, labels), loss(values, labels))
        if factor is not None:
            torch.testing.assert_close(loss(scale * values, labels), factor * loss(values, labels))


@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_the_sign_says_who_is_right(logits, name):
    wrong = logits[0].argmax(1) != logits[1]
    assert torch.equal(LOSSES[name](*logits) > 0, wrong)


@pytest.mark.parametrize("name", LOSSES)
def test_pgd_climbs_the_loss_that_it_is_told(digit_images, digit_classifier, name):
    """Each loss is highest, on average, where it was the aim."""
    images, labels = digit_images.pixels(slice(64)), digit_images.labels[:64]
    means = {}
    for aim in LOSSES:
        attack = PGD(eps=0.05, steps=10, step_size=0.01, loss=aim, random_start=False)
        found = attack.run(digit_classifier, images, labels, seed=0)
        with torch.no_grad():
            means[aim] = LOSSES[name](digit_classifier(found.images), labels).mean().item()
        if aim == name:
            assert found.tensors["loss"].mean().item() == pytest.approx(means[aim], rel=1e-5)
    assert max(means.values()) <= means[name] + 0.02 * abs(means[name])


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [("constant", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]), ("cosine", [1, 0.853553, 0.5, 0.146447])],
)
def test_the_schedule_sizes_each_step(schedule, shares):
    """On a linear view each signed step moves every pixel by its size; `keep` shows the points on the way."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    model[1].weight.data = torch.tensor([[0.0] * 4, [1.0] * 4])
    view = View(model)
    view.decides = False  # so that all kept points come back
    attack = PGD(eps=0.5, steps=4, step_size=0.1, random_start=False, schedule=schedule, keep=4)
    found = attack.run(view, torch.full((1, 1, 2, 2), 0.25), torch.tensor([0]), seed=0)
    sizes = found.candidates[:, 0, 0, 0, 0].diff(prepend=torch.tensor([0.25]))
    torch.testing.assert_close(sizes, 0.1 * torch.tensor(shares, dtype=torch.float32), rtol=1e-4, atol=1e-6)
