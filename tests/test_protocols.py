"""The table that leads the report of random weights: reported, the paper's own protocol, the worst case."""

import pytest
from records import estimate, record

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
    assert ctrw["own protocol, PGD"] == "48.5 (+13.5)"
    assert ctrw["PGD, EOT"] == "36.0 (+1.0)"
    assert ctrw["PGD, mean of the draws"] == ""
    assert ctrw["AutoAttack, EOT"] == "32.5 (+1.5)"
    assert ctrw["worst case"] == "30.0 (-1.0) [25.0, 35.0], n 250"
    assert "MNIST" not in text  # nothing of it is measured


@pytest.mark.parametrize("values", [{}, {("ctrw_table1", "small ResNet, baseline", "pgd"): 35.0}])
def test_without_a_measured_defense_there_is_no_table(values):
    assert protocols(entries(values), {}) == ""
