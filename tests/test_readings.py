"""Readings of what a paper leaves open: their rows, which comes closest; and where deviations come from."""

import math

import numpy as np
import pytest
from records import estimate, record
from scipy import stats

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.reports.analysis.closest import closest
from vqexp.reports.analysis.deviations import deviations
from vqexp.reports.spec.table import load_table, read_table

COLUMN = {"metric": "robust_accuracy"}
TABLE = {
    "name": "t",
    "title": "T",
    "source": "journal",
    "common": ["dataset=mnist"],
    "columns": {"pgd": COLUMN, "autoattack": COLUMN},
    "readings": [
        {"label": "running"},
        {"label": "batch", "overrides": ["classifier.statistics=batch"], "means": "So it is."},
    ],
    "rows": [{"label": "pRD", "overrides": ["defense=prd"], "reported_from": ["vq_table1/pRD (s=2, k=2)"]}],
}


def measured(table, values, **more):
    """Records of cells by place, in percent."""
    return {
        place: record(metrics={"robust_accuracy": estimate(value / 100, **more)})
        for place, value in values.items()
    }


def test_each_row_stands_once_for_each_reading_with_the_reported_values_of_another_table():
    table = load_table(TABLE)
    cells = read_table(CONF / "table" / "vq_table1.yaml").cells()
    own = {cell.column: cell.reported for cell in cells if cell.row == "pRD (s=2, k=2)"}
    assert [cell.row for cell in table.cells()] == ["pRD, running", "pRD, batch"] * 2
    assert [cell.reported for cell in table.cells()[::2]] == [own["pgd"], own["autoattack"]]
    assert table.cells()[1].settings == {
        "dataset": "mnist",
        "defense": "prd",
        "classifier.statistics": "batch",
    }


@pytest.mark.parametrize("place", ["vq_table1/nothing", "no_table/pRD (s=2, k=2)", "vq_table1"])
def test_a_row_that_is_not_there_is_refused(place):
    with pytest.raises(ConfigError, match="it must be TABLE/ROW"):
        load_table({**TABLE, "rows": [{"label": "pRD", "reported_from": [place]}]})


def test_the_closest_reading_is_that_of_the_least_mean_absolute_difference():
    table = load_table(TABLE)
    values = {
        ("pRD, running", "pgd"): 7.29,
        ("pRD, running", "autoattack"): 85.84,
        ("pRD, batch", "pgd"): 82.29,
        ("pRD, batch", "autoattack"): 75.84,
    }
    (note,) = closest(table, measured(table, values))
    assert "over the 2 cells" in note
    assert "batch: 10.0 (pgd 10.0, autoattack 10.0); running: 42.5 (pgd 85.0, autoattack 0.0)" in note
    assert note.endswith("Closest: **batch**. So it is.")


def test_only_cells_count_that_every_reading_has():
    table = load_table(TABLE)
    values = {
        ("pRD, running", "pgd"): 82.29,
        ("pRD, batch", "pgd"): 72.29,
        ("pRD, batch", "autoattack"): 85.84,
    }
    (note,) = closest(table, measured(table, values))
    assert "over the 1 cells" in note
    assert "Closest: **running**." in note
    del values["pRD, running", "pgd"]
    assert closest(table, measured(table, values)) == []


def test_deviations_of_draws_are_told_at_the_papers_number_of_images():
    table = load_table({**TABLE, "readings": []})
    draws = 0.014  # of 100 images; of the paper's 10,000 a tenth, the reported 0.14 points
    records = {
        ("pRD", "pgd"): [record(metrics={"robust_accuracy": estimate(0.5, n=100, runs=10, std=draws)})]
    }
    (note,) = deviations(table, records)
    assert "1 of 1 reported ones can come from evaluation draws alone" in note
    for factor, word in ((0.5, "larger: 1"), (2.0, "smaller: 1")):
        metrics = {"robust_accuracy": estimate(0.5, n=100, runs=10, std=factor * draws)}
        (note,) = deviations(table, {("pRD", "pgd"): [record(metrics=metrics)]})
        assert word in note
    assert deviations(load_table({**TABLE, "source": "another"}), records) == []


def test_whole_attacks_repeated_are_told_beside_their_draws():
    table = load_table({**TABLE, "readings": []})
    means, draws, runs = [0.50, 0.52, 0.57], 0.01, 10
    every = [
        record(metrics={"robust_accuracy": estimate(mean, n=400, runs=runs, std=draws)}) for mean in means
    ]
    expected = 100 * math.sqrt(np.var(means, ddof=1) - draws**2 / runs + draws**2) * math.sqrt(400 / 10_000)
    _, note = deviations(table, {("pRD", "pgd"): every})
    assert f"pRD, pgd: 0.14 | 0.20 | {expected:.2f}" in note
    trained = [each.model_copy(update={"classifier": {"training": {}, "data": []}}) for each in every]
    assert len(deviations(table, {("pRD", "pgd"): trained})) == 1  # their seeds are other networks


def test_a_deviation_of_ten_draws_is_alike_as_often_as_said():
    rng = np.random.default_rng(0)
    found = rng.normal(0, 1, (2000, 10)).std(1, ddof=1)
    low, high = np.sqrt(stats.chi2.ppf([0.025, 0.975], 9) / 9)
    alike = 0
    for std in found[:200]:
        row = {"label": "pRD", "overrides": [], "reported": {"pgd": [50.0, float(std)]}}
        records = {
            ("pRD", "pgd"): [record(metrics={"robust_accuracy": estimate(n=10_000, runs=10, std=0.01)})]
        }
        (note,) = deviations(load_table({**TABLE, "readings": [], "rows": [row]}), records)
        alike += "1 of 1" in note
    assert abs(alike / 200 - np.mean((found > low) & (found < high))) < 0.05
