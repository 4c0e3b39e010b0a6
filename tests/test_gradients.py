"""What is told of gradients, against gradients that are known."""

import math
from types import SimpleNamespace

import pytest
import torch
from local_run import LocalRun, setup
from torch import nn

from vqexp.adversaries import View, WhiteBox
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import PRD
from vqexp.metrics import Gradients

X = torch.rand(6, 1, 2, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Given(View):
    """A view whose gradients are given: call c on the chunk from image i on is gradients[i][c]."""

    random = True

    def __init__(self, gradients):
        super().__init__(nn.Identity())
        self.gradients, self.left = gradients, None

    def start(self, seed, ids=None):
        self.left = list(self.gradients[int(ids[0]) - 100])

    def gradient(self, images, labels, loss):
        rows = torch.tensor(self.left.pop(0)).view(images.shape)
        return rows, torch.zeros(len(images))


def measure(view, x=X, labels=LABELS, pairs=1, **settings):
    return Gradients(pairs=pairs).measure(LocalRun(view, x, labels, view=view, **settings))


def test_a_linear_classifier_by_hand():
    torch.manual_seed(0)
    f = nn.Sequential(nn.Flatten(), nn.Linear(6, 3, bias=False))
    found = measure(f, adversarial=X + 1, pairs=3)
    for kind, x in (("natural", X), ("adversarial", X + 1)):
        residual = f(x).softmax(1) - nn.functional.one_hot(LABELS, 3)
        by_hand = (residual @ f[1].weight).norm(dim=1)
        torch.testing.assert_close(
            found.counts[f"{kind}_gradient_norm"].float(), by_hand.detach().unsqueeze(0)
        )
        norm = found.estimates[f"{kind}_gradient_norm"]
        assert norm.mean == pytest.approx(by_hand.mean().item(), rel=1e-5)
        assert (norm.runs, norm.n, norm.unit) == (1, 6, "")  # a fixed view is called once
        means = {key: found.estimates[f"{kind}_gradient_{key}"].mean for key in ("all_zero", "not_finite")}
        assert means == {"all_zero": 0, "not_finite": 0}
        assert found.estimates[f"{kind}_gradient_cosine"].mean == pytest.approx(1)


def test_clean_images_alone_without_an_attack():
    assert all(name.startswith("natural") for name in measure(nn.Flatten(), labels=LABELS).estimates)


def test_every_case_by_hand():
    nan, inf = math.nan, math.inf
    x, labels = torch.zeros(5, 1, 1, 2), torch.zeros(5, dtype=torch.int64)
    calls = [  # images: orthogonal, parallel, opposite, one zero, not finite
        [[1.0, 0.0], [3.0, 4.0], [1.0, 1.0], [0.0, 0.0], [nan, 0.0]],
        [[0.0, 2.0], [6.0, 8.0], [-1.0, -1.0], [1.0, 0.0], [inf, 1.0]],
    ]
    found = measure(Given({0: calls}), x, labels, size=5)
    cosine = found.counts["natural_gradient_cosine"]
    torch.testing.assert_close(
        cosine, torch.tensor([[0, 1, -1, nan, nan]], dtype=torch.float64), equal_nan=True
    )
    estimates = {name.removeprefix("natural_gradient_"): e for name, e in found.estimates.items()}
    assert (estimates["cosine"].mean, estimates["cosine"].n) == (pytest.approx(0), 3)
    assert estimates["all_zero"].mean == pytest.approx(1 / 10)
    assert estimates["zero_entries"].mean == pytest.approx((1 + 1 + 2 + 1 + 1) / 20)
    assert estimates["not_finite"].mean == pytest.approx(2 / 10)
    norms = [(1 + 2) / 2, (5 + 10) / 2, math.sqrt(2), 1 / 2]
    assert (estimates["norm"].mean, estimates["norm"].n) == (pytest.approx(sum(norms) / 4), 4)


def test_each_pair_and_chunk_is_its_own():
    """Two chunks with two pairs each: what belongs together stays together."""
    x, labels = torch.zeros(2, 1, 1, 2), torch.zeros(2, dtype=torch.int64)
    a, b = [[1.0, 0.0]], [[0.0, 1.0]]
    found = measure(Given({0: [a, a, a, b], 1: [b, a, b, b]}), x, labels, pairs=2, size=1)
    assert found.counts["natural_gradient_cosine"].tolist() == [[1, 0], [0, 1]]
    assert found.counts["natural_gradient_norm"].shape == (4, 2)


def test_draws_of_a_quantizer_differ_and_are_found_again(digit_classifier, digit_images):
    x, labels = digit_images.pixels(slice(0, 6)), digit_images.labels[:6]
    defense = PRD(s=2, k=4, sigma=0.1, tau=0.1)
    counts = []
    for _ in range(2):
        view = WhiteBox(gradient="exact").view(digit_classifier, defense)
        counts.append(measure(view, x, labels, adversarial=1 - x).counts)
    for name, values in counts[0].items():
        assert torch.equal(values, counts[1][name])
    for kind in ("natural", "adversarial"):
        cosine = counts[0][f"{kind}_gradient_cosine"]
        assert cosine.isfinite().all()
        assert -1 <= cosine.min() <= cosine.max() < 1 - 1e-6


def test_averaging_draws_brings_gradients_together(digit_classifier, digit_images):
    x, labels = digit_images.pixels(slice(0, 8)), digit_images.labels[:8]
    defense = PRD(s=2, k=4, sigma=0.1, tau=0.1)
    one, many = (
        measure(WhiteBox(gradient="exact", samples=s).view(digit_classifier, defense), x, labels, pairs=4)
        for s in (1, 16)
    )
    name = "natural_gradient_cosine"
    assert many.estimates[name].mean > one.estimates[name].mean + 0.05


def test_a_view_without_gradients_is_refused():
    view = View(nn.Flatten())
    view.differentiable = False
    with pytest.raises(SenselessError, match="no"):
        measure(view)
    adversary = SimpleNamespace(differentiable=False)
    with pytest.raises(SenselessError, match="no"):
        Gradients(pairs=1).check(setup(adversary=adversary))
    Gradients(pairs=1).check(setup())


@pytest.mark.parametrize("pairs", [0, 1.5, True])
def test_pairs_is_checked(pairs):
    with pytest.raises(ConfigError, match=r"metric\.pairs is .*; it must be an integer >= 1"):
        Gradients(pairs=pairs)


def test_from_the_command_line(vqexp):
    status, out, _ = vqexp("metric=gradients", "adversary=exact", "scale=smoke", "training.epochs=1")
    assert status == 0
    assert "gradient norm, adversarial" in out
