"""How each image fared, kept with a record: what it is for is comparing cells on the same images in pairs."""

import json

import numpy as np
import pytest

from vqexp import results
from vqexp.core.config import CONF
from vqexp.core.store import Store
from vqexp.pipeline.outcomes import Outcomes, outcomes_of, with_outcomes
from vqexp.reports.analysis.judge import judge
from vqexp.reports.analysis.points import Point, measured_point, select
from vqexp.reports.render.kept import measurements
from vqexp.reports.render.report import write
from vqexp.reports.spec.claims import Claim
from vqexp.reports.spec.table import read_table

N = 100


def outcomes(right, ids="a", n=N):
    """`right` of n images right, one draw."""
    return Outcomes(ids, np.array([1.0] * right + [0.0] * (n - right)))


def point(series, right, ids="a", column="robust", half=9.0):
    value = 100 * right / N
    return Point(series, "", None, column, value, value - half, value + half, N, outcomes(right, ids))


def word(*points, check="larger_everywhere"):
    claim = Claim(text="", place="", check=check, of={"series": "a"}, than={"series": "b"})
    return judge(claim, "own", {"own": points}).word


def test_the_same_images_are_compared_in_pairs():
    """8 of 100 images more, none less: clear by pairs, not by the two intervals."""
    assert word(point("a", 60), point("b", 52)) == "held"
    assert word(point("a", 60), point("b", 52, ids="b")) == "undecided"
    assert word(point("a", 60), point("b", 59)) == "undecided"
    assert word(point("b", 60), point("a", 52)) == "did not hold"
    assert word(point("a", 60), point("b", 52), check="alike") == "did not hold"
    assert word(point("a", 60), point("b", 59), check="alike") == "held"


def test_images_that_all_agree_leave_some_doubt():
    """Agresti & Min: two pseudo-images, half of one on either side, so 0 +- 1.96 / (n + 2)."""
    same = outcomes(20, n=20).less(outcomes(20, n=20))
    low, high = same.interval()
    assert high == pytest.approx(-low)
    assert high == pytest.approx(1.96 * np.sqrt(1 / 22 / 21), rel=1e-3)


def test_the_interval_holds_what_it_promises():
    """Of matched pairs with a known difference, at least 93 in 100 intervals have it."""
    random = np.random.default_rng(0)
    hits, runs = 0, 400
    for _ in range(runs):
        hard = random.random(60)
        first, second = (hard < 0.7).astype(float), (hard < 0.6).astype(float)
        # means of 10 draws, about the images' own probabilities
        first, second = (random.binomial(10, 0.1 + 0.8 * each) / 10 for each in (first, second))
        low, high = Outcomes("", first).less(Outcomes("", second)).interval()
        hits += low <= 0.08 <= high
    assert hits / runs > 0.93


def test_a_difference_of_columns_is_of_the_same_images():
    points = [point("a", 90, column="natural"), point("a", 60)]
    (gap,) = select(points, {"column": "natural - robust"})
    assert gap.value == pytest.approx(30)
    assert 30 - 12 < gap.low < 30 < gap.high < 30 + 12  # independent, it would be 18 to either side
    assert gap.outcomes.shares.mean() == pytest.approx(0.3)
    assert gap.outcomes.ends == (-1, 1)
    assert gap.outcomes.less(gap.outcomes).ends == (-2, 2)


def test_a_record_carries_what_the_counts_say(vqexp, tmp_path):
    command = ("training.epochs=1", "dataset.n=16", "metric.runs=3", "attack=pgd", "scale=cpu")
    assert vqexp(*command)[0] == 0
    store = Store(tmp_path / "store")
    (record,) = results.records(store.root)
    counts = store.load("counts", record.key).tensors
    full = with_outcomes(record, store)
    for metric, kind in (("natural_accuracy", "natural"), ("robust_accuracy", "adversarial")):
        found = outcomes_of(full, metric)
        assert found.shares * 3 == pytest.approx(counts[f"{kind}_report_correct"].numpy())
        assert found.shares.mean() == pytest.approx(record.metrics[metric].mean)
    assert len(json.dumps(full.plain()["outcomes"])) < 400
    assert outcomes_of(record, "robust_accuracy") is None
    # a store that has lost its counts loses them, not the record
    store.path("counts", record.key).unlink()
    assert with_outcomes(record, store) == record
    assert with_outcomes(full, store) == full


def test_a_report_keeps_them_for_the_next(vqexp, tmp_path, small_cifar10, undrawn):
    table = ["-m", "table=vq_table2", "table.only_rows=[RandDisc]", *small_cifar10]
    small = ["dataset.n=16", "metric.runs=2", "table.only_columns=[pgd]", "scale=cpu"]
    assert vqexp(*table, *small)[0] == 0
    folder = tmp_path / "results"
    write(tmp_path / "store", folder)
    (kept,) = results.records(folder / "records.jsonl.gz")
    assert outcomes_of(kept, "robust_accuracy") is not None
    (again,) = measurements(tmp_path / "none", folder)
    assert again.outcomes == kept.outcomes
    for path in (tmp_path / "store" / "counts").glob("*.safetensors"):
        path.unlink()
    (again,) = measurements(tmp_path / "store", folder)
    assert again.outcomes == kept.outcomes
    (cell,) = [
        cell
        for cell in read_table(CONF / "table" / "vq_table2.yaml").cells()
        if cell.place == ("RandDisc (s=1, k=25)", "pgd")
    ]
    assert measured_point(cell, again).outcomes.shares.shape == (16,)


def test_fewer_images_of_the_same_order_are_compared_in_pairs():
    many = Outcomes("many", np.array([1.0, 0.0, 1.0, 1.0]), order="o")
    few = Outcomes("few", np.array([0.5, 0.0]), order="o")
    assert many.less(few).shares.tolist() == [0.5, 0.0]
    assert few.less(many).shares.tolist() == [-0.5, 0.0]
    for order in ("", "p"):
        assert many.less(Outcomes("few", few.shares, order=order)) is None
    assert many.less(Outcomes("many", few.shares, order="o")) is None  # the same ids, another number
