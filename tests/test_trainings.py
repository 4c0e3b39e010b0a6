"""Several trainings of one f are one measurement, and its interval allows for how far they are apart."""

import base64
import math
import zlib

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from records import estimate, record
from scipy import stats

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.core.estimate import pooled, spread
from vqexp.pipeline.outcomes import Outcomes
from vqexp.pipeline.record import Right
from vqexp.reports.analysis.classifier import classifier_name, classifier_names
from vqexp.reports.analysis.gather import Section, _by_seed
from vqexp.reports.analysis.points import Point
from vqexp.reports.analysis.trainings import family, images_of, seed_of, together
from vqexp.reports.render.markdown import section_origin
from vqexp.reports.render.material import Entry
from vqexp.reports.render.report import table_frame
from vqexp.reports.spec.table import read_table
from vqexp.reports.sweep.base import by_seed
from vqexp.reports.sweep.plan import Plan

IDENTITY = {"_target_": "vqexp.classifiers.small_cnn", "training": {"_target_": "T"}, "seed": 0}


def trained(seed, right, mean, defense=None):
    packed = base64.b64encode(zlib.compress(np.asarray(right, np.uint8).tobytes())).decode()
    return record(
        config={"defense": {"_target_": "vqexp.defenses.CTRW", "lower": 8, "seed": seed}},
        key=f"{seed:04}",
        classifier={
            **IDENTITY,
            "seed": seed,
            "data": [None, seed, "x"],
            "defense": defense and f"{defense}{seed}",
        },
        metrics={"robust_accuracy": estimate(mean, n=len(right), runs=2, ci95=(mean - 0.1, mean + 0.1))},
        outcomes={"robust_accuracy": Right(ids="i", right=packed, runs=2)},
    )


def test_spread_is_students_and_welchs_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(50, 1, 3), rng.normal(48, 3, 4)
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert spread(a.tolist(), b.tolist()) == pytest.approx((high - low) / 2)
    low, high = stats.ttest_1samp(a, 0).confidence_interval()
    assert spread(a.tolist()) == spread(a.tolist(), ()) == pytest.approx((high - low) / 2)
    assert spread((), (1.0,)) == 0


def test_the_interval_of_three_trainings_covers_the_mean_over_images_and_trainings():
    rng = np.random.default_rng(1)
    n, repeats, covered = 400, 1000, 0
    for _ in range(repeats):
        hardness = rng.uniform(size=n)  # the images, which all trainings share
        found = []
        for level in rng.normal(0.6, 0.02, 3):
            mean = float((hardness < level).mean())
            half = 1.96 * (mean * (1 - mean) / n) ** 0.5
            found.append(estimate(mean, n=n, ci95=(mean - half, mean + half)))
        low, high = pooled(found).ci95
        covered += low <= 0.6 <= high
    assert covered / repeats >= 0.94


def test_trainings_that_differ_by_the_seed_alone_are_one_family():
    first, second = (trained(seed, [2, 0, 1], 0.5, "behind") for seed in (0, 1))
    assert family(first) == family(second)
    assert [seed_of(first), seed_of(second)] == [0, 1]
    other = second.model_copy(
        update={"config": {**second.config, "defense": {**second.config["defense"], "lower": 9}}}
    )
    assert family(other) != family(first)
    versions = [
        {**second.classifier, "training": {"_target_": "T", "parts": {"optimizer": {"packages": [text]}}}}
        for text in ("torch 2.11.0", "torch 2.15.0")
    ]
    assert len({family(second.model_copy(update={"classifier": each})) for each in versions}) == 1
    longer = {**second.classifier, "training": {"_target_": "T", "epochs": 2}}
    assert family(second.model_copy(update={"classifier": longer})) != family(first)


def test_together_they_have_the_mean_and_every_images_draws():
    every = [trained(0, [2, 0, 1, 2], 0.625), trained(1, [2, 2, 1, 2], 0.875)]
    both = together(every)
    found = both.metrics["robust_accuracy"]
    assert found.mean == pytest.approx(0.75)
    assert found.trainings == (0.625, 0.875)
    assert found.std == pytest.approx(np.std([0.625, 0.875], ddof=1))
    assert found.ci95[0] < 0.65  # wider than that of one training
    kept = both.outcomes["robust_accuracy"]
    assert kept.runs == 4
    assert list(zlib.decompress(base64.b64decode(kept.right))) == [4, 2, 2, 4]
    assert "2 trainings" in classifier_name(*every)
    (name,) = classifier_names([*every, trained(2, [2, 0, 1, 2], 0.5), every[0]])  # of several cells
    assert name == classifier_name(*every).replace("2 trainings", "3 trainings")
    assert together(every[:1]) is every[0]


def test_several_trainings_count_more_than_images_and_images_more_than_seeds_of_an_attack():
    few = [trained(seed, [2, 0], 0.5) for seed in (0, 1, 2)]
    many = trained(0, [2, 0, 1, 2], 0.625)
    assert _by_seed([*few, many], "robust_accuracy") == few
    assert _by_seed([*few[:1], many], "robust_accuracy") == [many]
    given = [each.model_copy(update={"classifier": {"checkpoint": "0123"}}) for each in (*few, many)]
    assert _by_seed(given, "robust_accuracy") == given[-1:]


def test_a_quantity_that_some_images_lack_is_the_mean_over_trainings_that_attacked_as_many():
    def attacked(seed, n, distance, found):
        every = trained(seed, [2] * n, 0.5)
        interval = (-math.inf, math.inf) if found < 2 else (distance - 1, distance + 1)
        had = estimate(distance, n=found, ci95=interval, unit="")
        return every.model_copy(update={"metrics": {**every.metrics, "distance": had}})

    every = [attacked(0, 8, 1.0, 7), attacked(1, 8, 2.0, 5), attacked(2, 8, 3.0, 6)]
    assert images_of(every[1], "distance") == 8
    assert _by_seed([*every, attacked(0, 7, 9.0, 7)], "distance") == every
    found = together(every).metrics["distance"]
    assert (found.trainings, found.mean, found.n) == ((1.0, 2.0, 3.0), 2.0, 5)
    half = math.hypot(1, stats.t.ppf(0.975, 2) / math.sqrt(3))  # of the images, and Student's of 1, 2, 3
    assert found.ci95 == pytest.approx((2 - half, 2 + half))
    none = attacked(3, 8, math.nan, 0)  # no adversarial image was found
    assert _by_seed([*every, none], "distance") == every
    assert _by_seed([*every, none], "robust_accuracy") == [*every, none]
    assert _by_seed([none], "distance") == [none]
    both = together([every[0], none])
    assert both.metrics["distance"] == every[0].metrics["distance"]
    assert both.metrics["robust_accuracy"].trainings == (0.5, 0.5)


def test_a_difference_allows_for_the_spread_of_trainings():
    shares = Outcomes("i", np.linspace(0, 1, 100))
    one, other = (
        Point("s", "p", None, "c", 50, 49, 51, 100, shares, trainings=trainings)
        for trainings in ((), (45.0, 50.0, 55.0))
    )
    low, high = one.minus(one)
    wide_low, wide_high = other.minus(one)
    assert wide_high - wide_low > 10 > high - low


def test_seeds_are_as_many_trainings_of_every_cell():
    overrides = OverridesParser.create().parse_overrides(["scale=cpu", "seed=0,1,2", "table=x"])
    assert by_seed(overrides) == [["scale=cpu", f"seed={seed}"] for seed in (0, 1, 2)]
    assert by_seed(overrides[:1]) == [["scale=cpu"]]
    with pytest.raises(ConfigError, match=r"dataset.n=1,2 is a sweep"):
        by_seed(OverridesParser.create().parse_overrides(["dataset.n=1,2"]))
    first, second = Plan([["a"], ["b"]], [("T", "x", 0), ("T", "y", 1)]), Plan([["c"]], [("T", "x", 0)])
    both = Plan.of([first, second])
    assert both.jobs == [["a"], ["b"], ["c"]]
    assert both.places == [("T", "x", 0), ("T", "y", 1), ("T", "x", 2)]


def test_the_csv_names_every_training_of_a_mean():
    table = read_table(CONF / "table" / "ctrw_table5.yaml")
    cell = next(cell for cell in table.cells() if cell.column == "pgd")
    every = [trained(seed, [2, 0, 1, 2], 0.5 + seed / 8) for seed in (0, 1, 2)]
    place = cell.row, cell.column
    shown = Section(("f",), {place: together(every)}, frozenset([place]), {place: every})
    (line,) = table_frame(Entry(table, [shown])).to_dict("records")
    assert (line["trainings"], line["mean"]) == (3, pytest.approx(0.625))
    assert line["key"].split() == [record.key for record in every]
    assert "3 trainings" in line["classifier"]


def test_the_csv_tells_the_provenance_of_every_training_of_a_mean():
    table = read_table(CONF / "table" / "ctrw_table5.yaml")
    cell = next(cell for cell in table.cells() if cell.column == "pgd")
    made = [
        {"commit": "a" * 40, "device": "a CPU", "date": "2026-01-01", "seconds": {"adversarial": 1.0}},
        {"commit": "b" * 40, "device": "a GPU", "date": "2026-01-02", "seconds": {"adversarial": 2.0}},
        {"commit": "b" * 40, "device": "a CPU", "date": "2026-01-03", "dirty": True},
    ]
    every = [trained(seed, [2, 0, 1, 2], 0.5) for seed in range(3)]
    every = [
        one.model_copy(update={"provenance": one.provenance.model_copy(update=told)})
        for one, told in zip(every, made, strict=True)
    ]
    place = cell.row, cell.column
    shown = Section(("f",), {place: together(every)}, frozenset([place]), {place: every})
    (line,) = table_frame(Entry(table, [shown])).to_dict("records")
    assert line["commit"] == f"{'a' * 40}; {'b' * 40}"
    assert line["device"] == "a CPU; a GPU"
    assert line["date"] == "2026-01-01; 2026-01-02; 2026-01-03"
    assert (line["dirty"], line["torch"], line["seconds"]) == (True, "2", 3.0)
    every[1] = every[1].model_copy(update={"facts": {"violation": 5e-7}})
    told = section_origin(Section(("f",), {place: together(every)}, frozenset([place]), {place: every}))
    a, b = "a" * 10, "b" * 10
    assert told == (
        f"Commit {a}, {b}, {b} (dirty); a CPU, a GPU; torch 2; 2026-01-01 to 2026-01-03; "
        "largest violation of the ball or the box 5.0e-07."
    )
    # one of them on fewer images: the first stands alone
    every[2] = trained(2, [2, 0], 0.5).model_copy(update={"outcomes": {}})
    shown = Section(("f",), {place: together(every)}, frozenset([place]), {place: every})
    (line,) = table_frame(Entry(table, [shown])).to_dict("records")
    assert (line["trainings"], line["key"], line["device"]) == (1, every[0].key, "a CPU")
    assert "trainings" not in line["classifier"]
