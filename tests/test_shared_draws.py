"""Where one draw serves all images of a run, more images do not tell what another draw would do."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from inner import InnerNoise
from records import estimate
from scipy.stats import norm, ttest_1samp
from statsmodels.stats.proportion import proportion_confint

from vqexp.audits.verdict import surely_below
from vqexp.classifiers import small_resnet
from vqexp.core.config import CONF
from vqexp.core.estimate import FRACTION, average, pooled, proportion
from vqexp.core.random_module import shares_draws
from vqexp.defenses import CTRW, PRD, RNA, RPF, AdditiveNoise, defend
from vqexp.defenses.foreign import ForeignModel
from vqexp.metrics import Member, gap
from vqexp.metrics.worst_case import draws_apart
from vqexp.pipeline.older import FORMAT, upgraded
from vqexp.pipeline.outcomes import Outcomes, read_outcomes, written_outcomes
from vqexp.reports.analysis.texts import interval_from
from vqexp.reports.render.older import with_shared_draws

N, TRIALS, SIGMA = 400, 300, 0.5
SHAPE = (3, 16, 16)


def simulated(runs, together, generator):
    """(outcomes (TRIALS, runs, N), the truth): images of unequal difficulty, draws for each or for all.

    An outcome is right where a normal score is positive: 0.8, an image's own part, and a draw's.
    """
    image = torch.randn(TRIALS, 1, N, generator=generator)
    draw = SIGMA * torch.randn(TRIALS, runs, 1 if together else N, generator=generator)
    truth = norm.cdf(0.8 / math.sqrt(1 + SIGMA**2))
    return 0.8 + image + draw > 0, truth


@pytest.mark.parametrize("runs", [2, 3, 10])
def test_the_interval_covers_the_mean_over_all_images_and_draws(runs):
    """95 in 100 times, within what 300 trials tell; without `shared`, far less often."""
    outcomes, truth = simulated(runs, True, torch.Generator().manual_seed(runs))
    covered = {
        shared: np.mean([low <= truth <= high for low, high in _intervals(outcomes, shared)])
        for shared in (False, True)
    }
    assert covered[True] > 0.91
    assert covered[False] < 0.7


@pytest.mark.parametrize("runs", [2, 10])
def test_draws_of_each_image_need_no_more_than_wilsons(runs):
    outcomes, truth = simulated(runs, False, torch.Generator().manual_seed(runs))
    assert np.mean([low <= truth <= high for low, high in _intervals(outcomes, False)]) > 0.95


def _intervals(outcomes, shared):
    return [proportion(each, shared=shared).ci95 for each in outcomes]


def test_with_images_without_end_it_is_students_over_the_runs():
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.31, 0.42, 0.38, 0.55])
    outcomes = torch.rand(4, 1_000_000, generator=generator) < shares.unsqueeze(1)
    means = outcomes.double().mean(1).numpy()
    expected = ttest_1samp(means, 0).confidence_interval(0.95)
    assert proportion(outcomes, shared=True).ci95 == pytest.approx(tuple(expected), abs=1e-4)
    assert average(outcomes, "dB", shared=True).ci95 == pytest.approx(tuple(expected), abs=1e-4)


def test_half_widths_join_as_independent_ones_and_stay_fractions():
    outcomes = torch.tensor([[1, 1, 1, 0, 1], [1, 0, 0, 0, 0]], dtype=torch.bool)
    found, alone = proportion(outcomes, shared=True), proportion(outcomes)
    assert (found.mean, found.std, alone.over_draws) == (alone.mean, alone.std, 0)
    assert found.over_draws > 1  # two runs that differ by 60 points say nearly nothing
    assert found.ci95 == (0, 1)
    steady = torch.tensor([[1, 1, 1, 0, 1], [1, 1, 0, 1, 1]], dtype=torch.bool)
    assert proportion(steady, shared=True).ci95 == proportion(steady).ci95
    assert proportion(outcomes[:1], shared=True).ci95 == proportion(outcomes[:1]).ci95


def test_trainings_count_their_draws_once():
    """The spread of trainings has that of their draws in it, so that the interval is as without."""
    outcomes = [
        torch.rand(10, N, generator=torch.Generator().manual_seed(seed)) < 0.5 + 0.02 * seed
        for seed in range(3)
    ]
    shared, alone = (
        pooled([proportion(each, shared=shared) for each in outcomes]) for shared in (True, False)
    )
    assert shared.ci95 == pytest.approx(alone.ci95)
    assert shared.over_draws == 0


@pytest.mark.parametrize("defense", [CTRW, RNA, RPF])
def test_random_weights_share_their_draws(defense):
    assert shares_draws(defend(small_resnet(SHAPE, 10, width=4).eval(), defense(shape=SHAPE)))


@pytest.mark.parametrize(
    "defense", [PRD(s=2, k=4, sigma=0.1, tau=0.1), AdditiveNoise(sigma=0.1), InnerNoise()]
)
def test_images_with_draws_of_their_own_share_none(defense):
    assert not shares_draws(defend(small_resnet(SHAPE, 10, width=4).eval(), defense))


def test_a_random_model_of_unknown_kind_may_share_its_draws():
    assert shares_draws(ForeignModel(small_resnet(SHAPE, 10, width=4).eval(), random=True))
    assert not shares_draws(ForeignModel(small_resnet(SHAPE, 10, width=4).eval(), random=False))


def test_older_records_of_random_weights_get_the_interval_of_today():
    outcomes, _ = simulated(3, True, torch.Generator().manual_seed(0))
    before, today = (proportion(outcomes[0], shared=shared) for shared in (False, True))
    for target, expected in (("CTRW", today), ("SwRD", before)):
        plain = {"mean": before.mean, "std": before.std, "runs": 3, "n": N, "ci95": list(before.ci95)}
        raw = {
            "format": 2,
            "config": {"defense": {"_target_": f"vqexp.defenses.{target}"}, "preset": {}},
            "metrics": {"robust_accuracy": {**plain, "unit": FRACTION, "title": ""}},
        }
        found = upgraded(raw)
        assert found["format"] == FORMAT
        assert found["metrics"]["robust_accuracy"]["ci95"] == pytest.approx(expected.ci95)
        again = upgraded(found)["metrics"]["robust_accuracy"]
        assert again["ci95"] == pytest.approx(expected.ci95)  # once is enough
        assert again.get("shared", False) == expected.shared


# differences


def members(*rights, shared=True):
    """On N images, of which each run has so many right."""
    runs = [torch.stack([torch.arange(N) < count for count in right]) for right in rights]
    return [Member(torch.arange(N), torch.zeros(N), run, run[:1], run[:1], shared) for run in runs]


def test_a_difference_is_taken_run_by_run():
    same = members([100, 200, 300], [110, 210, 310])  # the same draws, ten images more in each
    apart = members([100, 200, 300], [310, 110, 210])
    assert draws_apart(*same) == 0
    assert draws_apart(*apart) > 0.5
    assert draws_apart(*members([100, 200, 300], [310, 110, 210], shared=False)) == 0
    assert gap(*same)[0] == pytest.approx(gap(*apart)[0])
    assert gap(*apart)[1] > 5 * gap(*same)[1]
    assert draws_apart(*members([100, 200, 300], [100, 300])) > 0.5  # with another number of runs by Welch


def test_a_worst_case_is_broken_by_more_than_one_draw():
    assert surely_below(0.02, 1000, 0.05)
    assert not surely_below(0.02, 1000, 0.05, above=0.04)
    assert surely_below(0.0, 52, 0.05, above=0.0) != surely_below(0.0, 51, 0.05, above=0.0)


def test_outcomes_carry_what_their_draws_may_change():
    one = Outcomes("i", np.linspace(0, 1, N), over_draws=0.03)
    other = replace(one, over_draws=0.04)
    less = one.less(other)
    assert less.over_draws == pytest.approx(0.05)
    assert less.interval()[1] == pytest.approx(math.hypot(0.05, replace(less, over_draws=0.0).interval()[1]))
    text = written_outcomes("i", "o", np.arange(N) < 10, 2, 0.03)
    assert read_outcomes(text).over_draws == 0.03
    assert read_outcomes(text.rsplit(":", 1)[0]).over_draws == 0  # of an older page


def test_a_kept_audit_of_random_weights_gets_the_interval_of_today():
    head = {"worst": "35.62 (4.47)", "interval": "[25.0, 47.9]", "outcomes": "ids:order:10:right"}
    head["line"] = f"BROKEN: 35.6 % {head['interval']} by PGD"
    text = f"**{head['line']}**\n| {head['worst']} | {head['interval']} |\n| 31.25 | [21.2, 43.4] |"
    found, page = with_shared_draws(head, text)
    half = 2.262157 * 0.0447 / math.sqrt(10)  # Student's quantile of nine degrees of freedom
    low, high = proportion_confint(0.3562 * 64, 64, method="wilson")
    expected = 0.3562 - math.hypot(0.3562 - low, half), 0.3562 + math.hypot(high - 0.3562, half)
    assert interval_from(found["interval"]) == pytest.approx(expected, abs=1e-3)
    assert read_outcomes(found["outcomes"].replace("right", "eJwDAAAAAAE=")).over_draws == pytest.approx(
        half, rel=1e-4
    )
    assert page.count(found["interval"]) == 2
    assert "| 31.25 | [21.2, 43.4] |" in page  # of a single draw


def test_a_kept_audit_of_a_single_run_stays_as_it_is():
    head = {
        "worst": "31.25",
        "interval": "[21.2, 43.4]",
        "outcomes": "ids:order:1:right",
        "line": "x [21.2, 43.4]",
    }
    text = "**x [21.2, 43.4]**\n| 31.25 | [21.2, 43.4] |"
    assert with_shared_draws(head, text) == ({**head, "outcomes": "ids:order:1:right:0"}, text)


def test_committed_results_allow_for_shared_draws():
    path = Path(CONF).parent / "results" / "audits.csv"
    shown = [line for line in csv.DictReader(path.open()) if line["defense"] in ("CTRW", "RNA", "RPF")]
    assert shown
    assert all(line["outcomes"].count(":") == 4 for line in shown)


def test_an_estimate_is_not_shared_unless_it_says_so():
    assert estimate(std=0.1, runs=3).over_draws == 0
    assert replace(estimate(std=0.1, runs=3), shared=True).over_draws == pytest.approx(0.2484, abs=1e-4)
