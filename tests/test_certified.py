"""Proposition 1 and Theorem 1: by hand, and whether they hold when they are put to the test."""

import math

import pytest
import torch
from inner import InnerNoise
from local_run import LocalRun, setup
from torch import nn

from vqexp.adversaries import WhiteBox
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import PRD, Defense
from vqexp.papers.vq import Certified, certified_accuracy, certified_error, vote_certificate


def one(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("delta", "natural", "printed"), [(0.05, 0.494, 0.40), (0.005, 0.584, 0.45)])
def test_the_papers_example(delta, natural, printed):
    found = certified_error(one(0.2), one(0.9), m=100, delta=delta).item()
    assert found == pytest.approx(natural, abs=5e-4)
    assert certified_accuracy(one(0.2), one(0.9), m=100, delta=delta).item() == pytest.approx(1 - found)
    # what the paper prints is what the logarithm to the base 10 gives
    base_10 = (0.2 + math.sqrt(2 * math.log10(1 / delta) / 100)) / 0.9
    assert base_10 == pytest.approx(printed, abs=0.015)


def test_the_range_and_the_misclassified():
    error = certified_error(one(0, 0, 1.5, 0), one(1, 0.1, 0.2, -0.5), m=10**6, delta=0.005)
    assert error[0] == pytest.approx(math.sqrt(2 * math.log(200) / 10**6))
    assert 0 < error[1] < 1
    assert error[2:].tolist() == [1, 1]
    zero_margin = certified_accuracy(one(0), one(0), m=10**6, delta=0.005)
    assert zero_margin.tolist() == [0]  # f is right only where the margin is positive


def violations(delta, with_slack, margin=0.9, chance=0.4, m=100, repetitions=2000):
    """Share of repetitions in which the true error exceeds its bound, where Markov's step is tight.

    The distance is the margin with probability `chance`, else 0: the true error is `chance` exactly.
    """
    generator = torch.Generator().manual_seed(0)
    hit = torch.rand(repetitions, m, generator=generator, dtype=torch.float64) < chance
    distance = (hit * margin).mean(1)
    # at delta 1 the square root is 0
    bound = certified_error(
        distance, torch.full_like(distance, margin), m=m, delta=delta if with_slack else 1
    )
    return (bound < chance).double().mean().item()


@pytest.mark.parametrize("delta", [0.05, 0.005])
@pytest.mark.parametrize("chance", [0.1, 0.4, 0.7])
def test_coverage_where_markov_is_tight(delta, chance):
    assert violations(delta, with_slack=True, chance=chance) <= delta
    assert violations(delta, with_slack=False, chance=chance) > delta  # the square root is what covers


def test_theorem_1_by_hand():
    found = vote_certificate(one(1, 1, 0.8, 0.5, -0.9, 0), one(0.5, 0.6, 0.3, 0.0, 0.0, 0.0))
    assert found.tolist() == pytest.approx([0, -0.1, 0.02, 0.125, -math.inf, -math.inf])
    # it needs a divergence of at most 1/2, whatever the margin
    margins = torch.linspace(-1, 1, 201, dtype=torch.float64)
    assert (vote_certificate(margins, torch.full_like(margins, 0.5001)) < 0).all()


def test_theorem_1_holds_for_two_classes():
    """Exactly: P(label) = p at x and q at x'; where delta >= 0 the label leads at x' too."""
    p, q = torch.meshgrid(*[torch.linspace(0.001, 0.999, 300, dtype=torch.float64)] * 2, indexing="ij")
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    certified = vote_certificate(2 * p - 1, divergence) > 1e-9
    assert certified.any()
    assert (q[certified] > 0.5).all()
    # with half the divergence it would not
    more = (2 * p - 1 > 0) & (vote_certificate(2 * p - 1, divergence / 2) > 1e-9)
    assert (q[more] < 0.5).any()


class Coin(Defense):
    """Adds 1/6 to every pixel in draws with an even number."""

    random = True

    def forward(self, images, draw=None):
        number = torch.as_tensor(draw.number).expand(len(images))
        return images + (number % 2 == 0).view(-1, 1, 1, 1) / 6


def test_measured_by_hand():
    """f = softmax of (x, 0), pixels being (x + 2.5) / 6: all probabilities of every draw are known."""
    f = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    f[1].weight.data, f[1].bias.data = torch.tensor([[6.0], [0.0]]), torch.tensor([-2.5, 0.0])
    x = torch.tensor([2.0, -1.0, 0.5, 3.0, -2.0]).view(5, 1, 1, 1)
    adversarial = x - torch.tensor([1.5, 0.5, 1.0, 0.0, 0.0]).view(5, 1, 1, 1)
    labels = torch.tensor([0, 0, 0, 0, 1])
    pixels = [(values + 2.5) / 6 for values in (x, adversarial)]
    run = LocalRun(f, pixels[0], labels, adversarial=pixels[1], defense=Coin(), size=3)
    draws, delta = 401, 0.05
    found = Certified(draws=draws, delta=delta).measure(run)

    def probabilities(z):
        first = z.double().flatten().sigmoid()
        return torch.stack([first, 1 - first], 1)

    heads, tails = probabilities(adversarial + 1), probabilities(adversarial)
    share = 201 / draws
    distance = share * (probabilities(x) - heads).abs().sum(1)
    distance += (1 - share) * (probabilities(x) - tails).abs().sum(1)
    margin = (2 * probabilities(x)[:, 0] - 1) * torch.tensor([1, 1, 1, 1, -1])
    expected = certified_accuracy(distance, margin, m=draws, delta=delta)
    torch.testing.assert_close(found.counts["distance"], distance)
    torch.testing.assert_close(found.counts["margin"], margin)
    torch.testing.assert_close(found.counts["certified_accuracy"], expected)
    assert expected[1] == 0  # f is wrong about it
    assert expected.max() > 0.3
    certified = found.estimates["certified_accuracy"]
    assert (certified.mean, certified.n) == (pytest.approx(expected.mean().item()), 5)
    right = [1, 0, share, 1, 1]  # x' = 0.5; -1.5, below 0 in both draws; -0.5; 3; -2, label 1
    assert found.estimates["robust_accuracy"].mean == pytest.approx(sum(right) / 5)


def test_the_draws_are_those_of_the_report(digit_classifier, digit_images):
    """Whatever the chunks: each draw is that of its image and number."""
    x, labels = digit_images.pixels(slice(0, 5)), digit_images.labels[:5]
    defense = PRD(s=2, k=4, sigma=0.1, tau=0.1)
    right = []
    for size in (2, 5):
        run = LocalRun(digit_classifier, x, labels, adversarial=1 - x, defense=defense, size=size)
        right.append(Certified(draws=30, delta=0.05).measure(run).counts["right"])
    assert torch.equal(*right)
    with torch.no_grad():
        outcomes = [
            digit_classifier(defense(1 - x, Draw("report", number, run.images.ids))).argmax(1) == labels
            for number in range(30)
        ]
    torch.testing.assert_close(right[0], torch.stack(outcomes).double().mean(0))


def test_senseless_runs_are_refused():
    metric = Certified(draws=10, delta=0.05)
    metric.check(setup(PRD(s=2, k=4, sigma=0.1, tau=0.1)))
    inside = InnerNoise()
    known = WhiteBox(draws="evaluation", gradient="exact")
    for wrong, reason in (
        (setup(perturbs=False), "adversarial"),
        (setup(inside), "part of f"),
        (setup(adversary=known), "independent"),
    ):
        with pytest.raises(SenselessError, match=reason):
            metric.check(wrong)


@pytest.mark.parametrize(
    "wrong", [{"draws": 0}, {"draws": 2.5}, {"delta": 0}, {"delta": 1}, {"delta": "a"}, {"cost": "free"}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match=rf"metric\.{next(iter(wrong))} is .*; it must be"):
        Certified(**{"draws": 10, "delta": 0.05, **wrong})


def test_from_the_command_line(vqexp):
    common = ("metric=certified", "scale=smoke", "training.epochs=1")
    status, out, _ = vqexp(*common)
    assert status == 0
    assert "certified accuracy" in out
    assert "not over the ball" in out
    status, out, err = vqexp(*common, "attack=none")
    assert (status, out) == (2, "")
    assert "metric=certified compares with adversarial images" in err
