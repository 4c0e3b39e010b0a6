"""The table that leads the report of random weights: reported, the paper's own protocol, the worst case."""

import numpy as np
import pytest
from records import DIGITS, estimate, record

from vqexp.pipeline.outcomes import ids_of, order_of, packed, written_outcomes
from vqexp.reports.analysis.gather import Section
from vqexp.reports.render.kept import AuditPage
from vqexp.reports.render.material import Entry
from vqexp.reports.render.protocols import protocols, spec
from vqexp.reports.spec.table import all_tables

TABLES = {table.name: table for table in all_tables()}


def entries(values):
    """All tables, with what was measured: (table, row, column) -> percent."""
    found = []
    for table in TABLES.values():
        records = {
            (row, column): record(metrics={table.columns[column]["metric"]: estimate(value / 100)})
            for (name, row, column), value in values.items()
            if name == table.name
        }
        found.append(Entry(table, [Section(("f",), records, frozenset(records))] if records else []))
    return found


def test_every_row_and_column_exists():
    for group in spec()["groups"]:
        places = [group["undefended"], *(row["cells"] for row in group["rows"])]
        places += [where for row in (group, *group["rows"]) if (where := row.get("paper"))]
        for table, row in places:
            assert row in {entry["label"] for entry in TABLES[table].rows}
            names = {*spec()["columns"].values(), *spec()["baselines"].values(), spec()["worst"]}
            assert names <= set(TABLES[table].columns)


def test_gains_are_over_the_undefended_network_beside_it():
    base, ours = "small ResNet, baseline", "small ResNet, CTRW"
    values = {
        ("ctrw_table1", base, "pgd"): 35.0,
        ("ctrw_table1", base, "autoattack"): 31.0,
        ("ctrw_table1", ours, "pgd"): 48.5,
        ("ctrw_table1", ours, "eot_pgd"): 36.0,
        ("ctrw_table1", ours, "eot_autoattack"): 32.5,
    }
    head = {"worst": "30.00 (0.50)", "interval": "[25.0, 35.0]", "n": "250"}
    text = protocols(entries(values), {"cifar10-ctrw-012345": AuditPage(head, "", 39)})
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line
    ]
    heads, _, undefended, *others = rows
    assert dict(zip(heads, undefended, strict=True))["own protocol, AutoAttack"] == "31.0"
    ctrw = dict(zip(heads, next(row for row in others if row[0] == "CTRW"), strict=True))
    assert ctrw["reported"] == "69.5 (+17.3)"
    assert ctrw["own protocol, PGD"] == "48.5 (+13.5 [-100.0, 100.0])"
    assert ctrw["PGD, EOT"] == "36.0 (+1.0 [-100.0, 100.0])"
    assert ctrw["PGD, mean of the draws"] == ""
    assert ctrw["AutoAttack, EOT"] == "32.5 (+1.5 [-100.0, 100.0])"
    assert ctrw["worst case"] == "30.0 (-1.0 [-75.0, 35.0]), n 250"
    assert "MNIST" not in text  # nothing of it is measured


def test_a_gain_is_taken_image_by_image_where_that_is_known():
    """The defense is right on 40 of the first 64 images, the network on 24 of them and no others."""
    base, ours = "small ResNet, baseline", "small ResNet, CTRW"
    values = {("ctrw_table1", base, "autoattack"): 12.0, ("ctrw_table1", ours, "autoattack"): 62.5}
    found = entries(values)
    alone = np.arange(200) < 24
    ids, order = ids_of(DIGITS, range(64)), order_of(DIGITS)
    (section,) = next(entry.sections for entry in found if entry.table.name == "ctrw_table1")
    for row, right in ((base, alone), (ours, np.arange(64) < 40)):
        place = (row, "autoattack")
        kept = packed(ids_of(DIGITS, range(len(right))), right, 1)
        section.records[place] = section.records[place].model_copy(
            update={"outcomes": {"robust_accuracy": kept}}
        )
    worst = written_outcomes(ids, order, 2 * (np.arange(64) < 32), 2, 0.0)
    head = {"worst": "50.00 (0.50)", "interval": "[40.0, 60.0]", "n": "64", "outcomes": worst}
    text = protocols(found, {"cifar10-ctrw-012345": AuditPage(head, "", 39)})
    cells = next(line for line in text.splitlines() if line.startswith("| CTRW |")).split(" | ")
    low, high = apart(np.repeat([1.0, 0.0], [16, 48]))
    assert cells[3] == f"62.5 (+25.0 [{low:.1f}, {high:.1f}])"
    low, high = apart(np.repeat([1.0, 0.0], [8, 56]))
    assert cells[-1].strip(" |") == f"50.0 (+12.5 [{low:.1f}, {high:.1f}]), n 64"


def apart(differences):
    """The interval of the mean of paired differences (Agresti & Min 2005), in percent."""
    values = np.append(differences, [1, -1, 0])
    weights = np.append(np.ones(len(differences)), [0.5, 0.5, 1])
    mean = np.average(values, weights=weights)
    variance = weights @ (values - mean) ** 2 / (weights.sum() - 1)
    half = 1.959964 * np.sqrt(variance / weights.sum())
    return 100 * (mean - half), 100 * (mean + half)


@pytest.mark.parametrize("values", [{}, {("ctrw_table1", "small ResNet, baseline", "pgd"): 35.0}])
def test_without_a_measured_defense_there_is_no_table(values):
    assert protocols(entries(values), {}) == ""
