"""Proportions and their intervals, margins, and the names of the accuracies."""

import math
import statistics
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from vqexp.core.errors import ConfigError
from vqexp.core.estimate import average, proportion
from vqexp.core.margins import margin
from vqexp.core.text import interval, value
from vqexp.defenses import NoDefense
from vqexp.metrics import Accuracy
from vqexp.metrics.protocols import all_of, vote
from vqexp.pipeline.stages import Evaluation

OUTCOMES = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)


def wilson(mean, n, z=1.959963984540054):
    """The interval of Wilson (1927), written out."""
    center = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    return center - half, center + half


def test_proportion_by_hand():
    found = proportion(OUTCOMES)
    assert found.mean == pytest.approx((3 / 4 + 1 / 4 + 2 / 4) / 3)
    assert found.std == pytest.approx(statistics.stdev([3 / 4, 1 / 4, 2 / 4]))
    assert (found.runs, found.n) == (3, 4)
    assert found.ci95 == pytest.approx(wilson(0.5, 4))
    assert found.ci95 == pytest.approx(proportion_confint(2, 4, method="wilson"))
    assert (found.unit, found.scale, found.title) == ("fraction", 100, "")
    assert proportion(OUTCOMES, title="robust accuracy").title == "robust accuracy"


def test_proportion_on_some_images():
    rows = torch.tensor([True, True, False, False])
    found = proportion(OUTCOMES, rows)
    assert found == proportion(OUTCOMES[:, :2])
    assert (found.mean, found.n) == (pytest.approx(5 / 6), 2)


def test_one_run_has_no_spread():
    assert proportion(OUTCOMES[:1]).std == 0


@pytest.mark.parametrize(
    "found",
    [proportion(OUTCOMES, torch.zeros(4, dtype=torch.bool)), proportion(torch.zeros(3, 0, dtype=torch.bool))],
)
def test_nothing_is_known_without_images(found):
    assert math.isnan(found.mean)
    assert math.isnan(found.std)
    assert (found.runs, found.n, found.ci95) == (3, 0, (0.0, 1.0))


@settings(max_examples=200)
@given(n=st.integers(1, 2000), runs=st.integers(1, 10), share=st.floats(0, 1), seed=st.integers(0, 2**31))
@example(n=7, runs=1, share=0.0, seed=0)  # Wilson's formula is off by a rounding
@example(n=7, runs=1, share=1.0, seed=0)
def test_the_interval_contains_the_mean(n, runs, share, seed):
    outcomes = torch.rand(runs, n, generator=torch.Generator().manual_seed(seed)) < share
    found = proportion(outcomes)
    low, high = found.ci95
    assert 0 <= low <= found.mean <= high <= 1
    assert found.mean == pytest.approx(outcomes.float().mean().item(), abs=1e-5)
    assert (low, high) == pytest.approx(wilson(found.mean, n), abs=1e-9)
    # four times the images, all alike, tell more
    closer = proportion(outcomes.repeat(1, 4)).ci95
    assert closer[1] - closer[0] < high - low


@settings(max_examples=100)
@given(n=st.integers(1, 6), classes=st.integers(2, 12), seed=st.integers(0, 2**31))
def test_margin_by_brute_force(n, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator) * 10
    labels = torch.randint(classes, (n,), generator=generator)
    kept = logits.clone()
    found = margin(logits, labels)
    expected = [
        row[label] - max(value for c, value in enumerate(row) if c != label)
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert torch.equal(found > 0, logits.argmax(1) == labels)
    assert torch.equal(logits, kept)


CORRECT = torch.tensor([[True, True, True, False]])
NATURAL = {
    "natural_accuracy": 1 / 2,
    "natural_accuracy_on_correct": 2 / 3,
    "undefended_natural_accuracy": 3 / 4,
}


class Outcomes:
    """A run whose evaluations are given; predictions are the label 0 where correct, else 1."""

    def __init__(self, evaluations, perturbed=None, flags=None, distance=None):
        n = len(CORRECT[0])
        self.images = SimpleNamespace(ids=torch.arange(n), labels=torch.zeros(n, dtype=torch.int64))
        self.evaluations, self.attacked, self.defense = evaluations, perturbed is not None, NoDefense()
        self._known = {"perturbed": perturbed, "autoattack_flags": flags, "distance": distance}

    def known(self, name):
        return self._known.get(name)

    def evaluate(self, *, adversarial, defended, purpose, runs):
        correct = self.evaluations["adversarial" if adversarial else "natural", defended]
        # what `select` draws say must not show in any estimate
        correct = correct[:runs] if purpose == "report" else ~correct[:runs]
        return Evaluation((~correct).to(torch.int16), correct, correct.float() - 0.5)


def test_accuracy_without_an_attack():
    run = Outcomes({("natural", True): OUTCOMES, ("natural", False): CORRECT})
    found = Accuracy(runs=3, select_runs=1, vote=3, all=2).measure(run)
    expected = NATURAL | {
        "natural_accuracy_vote": OUTCOMES.sum(0).ge(2).float().mean().item(),
        "natural_accuracy_all": OUTCOMES[:2].all(0).float().mean().item(),
    }
    assert {name: estimate.mean for name, estimate in found.estimates.items()} == pytest.approx(expected)
    assert torch.equal(found.counts["natural_report_correct"], OUTCOMES.sum(0))
    assert torch.equal(found.counts["natural_select_correct"], (~OUTCOMES[:1]).sum(0))


def test_the_distance_is_a_mean_over_what_was_found():
    both = {(kind, defended): CORRECT for kind in ("natural", "adversarial") for defended in (True, False)}
    distance = torch.tensor([0.5, torch.inf, 1.0, torch.inf])
    run = Outcomes(both, perturbed=torch.ones(4, dtype=torch.bool), distance=distance)
    found = Accuracy(runs=1, select_runs=1, vote=1, all=1).measure(run).estimates["distance"]
    assert (found.mean, found.n, found.unit) == (0.75, 2, "")


@pytest.mark.parametrize("flags", [None, torch.tensor([True, False, False, False])])
def test_accuracy_under_attack(flags):
    attacked = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=torch.bool)
    run = Outcomes(
        {
            ("natural", True): OUTCOMES,
            ("natural", False): CORRECT,
            ("adversarial", True): attacked,
            ("adversarial", False): torch.tensor([[True, False, False, False]]),
        },
        perturbed=torch.tensor([False, True, True, False]),
        flags=flags,
    )
    found = Accuracy(runs=3, select_runs=1, vote=3, all=3).measure(run).estimates
    expected = NATURAL | {
        "robust_accuracy": 6 / 12,
        "robust_accuracy_on_correct": 3 / 9,
        "robust_accuracy_on_perturbed": 2 / 6,
        "robust_accuracy_vote": 2 / 4,
        "robust_accuracy_all": 1 / 4,
        "undefended_accuracy": 1 / 4,
        "perturbed": 2 / 4,
    }
    if flags is not None:
        expected["autoattack_flags"] = 1 / 4
    means = {
        name: estimate.mean for name, estimate in found.items() if not name.startswith("natural_accuracy_")
    }
    expected.pop("natural_accuracy_on_correct")
    assert means == pytest.approx(expected)
    assert {name: estimate.n for name, estimate in found.items() if name.startswith("robust")} == {
        "robust_accuracy": 4,
        "robust_accuracy_on_correct": 3,
        "robust_accuracy_on_perturbed": 2,
        "robust_accuracy_vote": 4,
        "robust_accuracy_all": 4,
    }
    assert found["robust_accuracy"].runs == 3
    assert found["undefended_accuracy"].runs == found["perturbed"].runs == 1


def test_vote_counts_labels_not_successes():
    labels = torch.tensor([0, 0, 0, 2])
    # image 0: 2 of 5, but the rivals split; 1: a tie with a rival; 2: outvoted; 3: unanimous
    predicted = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2], [1, 1, 1, 2], [2, 1, 0, 2], [3, 3, 0, 2]])
    assert vote(predicted, labels, 5).tolist() == [[True, False, False, True]]
    assert vote(predicted, labels, 1).tolist() == (predicted == labels).tolist()
    assert vote(predicted, labels, 2).shape == (2, 4)


def test_all_of_needs_every_draw():
    correct = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=torch.bool)
    assert all_of(correct, 2).tolist() == [[True, False, False], [True, True, False]]
    assert all_of(correct, 4).tolist() == [[True, False, False]]
    assert all_of(correct[:1], 4).tolist() == [[True, True, False]]


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"select_runs": 0}, {"runs": 1.5}, {"select_runs": True}])
def test_accuracy_refuses(wrong):
    with pytest.raises(ConfigError, match=rf"metric\.{next(iter(wrong))} is .*; it must be an integer >= 1"):
        Accuracy(**{"runs": 1, "select_runs": 1, "vote": 1, "all": 1, **wrong})


def test_average_by_hand():
    values = torch.tensor([[1.0, 2.0, math.nan, math.nan], [3.0, 2.0, 8.0, math.nan]])
    found = average(values, "dB")
    # means of the images: 2, 2, 8; Student's quantile for two degrees of freedom is 4.302653
    half = 4.302652729911275 * statistics.stdev([2, 2, 8]) / math.sqrt(3)
    assert found.mean == pytest.approx(4)
    assert found.std == pytest.approx(statistics.stdev([3 / 2, 13 / 3]))
    assert (found.runs, found.n, found.unit) == (2, 3, "dB")
    assert found.ci95 == pytest.approx((4 - half, 4 + half))


def test_average_of_too_few():
    one, none = average(torch.tensor([3.0]), "nats"), average(torch.tensor([math.nan]), "nats")
    assert (one.mean, one.std, one.runs, one.n, one.ci95) == (3, 0, 1, 1, (-math.inf, math.inf))
    assert math.isnan(none.mean)
    assert (none.n, none.ci95) == (0, (-math.inf, math.inf))


def test_how_an_estimate_reads():
    assert value(proportion(OUTCOMES)) == "50.00 (25.00) %"
    decibels = average(torch.tensor([[20.0, 30.0], [22.0, 32.0]]), "dB")
    assert value(decibels) == "26 (1.4) dB"
    assert interval(decibels) == "[-37.53, 89.53]"
    unknown = average(torch.tensor([math.nan]), "dB")
    assert (value(unknown), interval(unknown)) == ("-", "-")


@pytest.mark.parametrize(
    ("metric", "adversary", "attack", "n"),
    [
        ("accuracy", "oblivious", "pgd", 2000),
        ("accuracy", "oblivious", "autoattack", 600),
        ("accuracy", "eot", "square", 32),
        ("accuracy", "eot", "autoattack", 8),
        ("certified", "oblivious", "pgd", 16),
        ("certified", "eot", "pgd", 16),
        ("gradients", "eot", "pgd", 128),
        ("kl_bound", "oblivious", "pgd", 2),
    ],
)
def test_the_scale_counts_what_an_image_costs(vqexp, metric, adversary, attack, n):
    settings = ("scale=cpu", f"metric={metric}", f"adversary={adversary}", f"attack={attack}")
    status, out, _ = vqexp("--cfg", "job", "--resolve", "--package", "dataset", *settings)
    assert status == 0
    assert f"\n'n': {n}\n" in out
