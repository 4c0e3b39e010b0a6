"""What a report says of a claim that nobody measured: what its cells lack, and how to measure them."""

import shlex

import pytest

from vqexp.reports.analysis.unmeasured import cells_of, commands, lacking
from vqexp.reports.spec.claims import Claim
from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.table import all_tables

FIGURES = all_figures()
TABLES = {table.name: table for table in all_tables()}
TABLES |= {figure.table.name: figure.table for figure in FIGURES if figure.table}
CLAIMS = [(table.name, claim) for table in TABLES.values() for claim in table.claims]
CLAIMS += [(figure.name, claim) for figure in FIGURES for claim in figure.claims]


def claim(of, than=None):
    return Claim("", "", "above" if than is None else "larger_everywhere", of=of, than=than, bound=0)


def places(cells):
    return {(cell.table, cell.row, cell.column) for cell in cells}


@pytest.mark.parametrize(("name", "claim"), CLAIMS, ids=lambda value: getattr(value, "text", value))
def test_every_claim_compares_cells_and_says_so_while_they_are_missing(name, claim):
    cells = cells_of(claim, name, TABLES)
    if not cells:  # its rows are only quoted
        return
    told = lacking(claim, name, TABLES, (), ())
    assert told.startswith(f"cells measured: 0 of {len(cells)}; needs ")
    assert all(cell.dataset in told for cell in cells)
    assert lacking(claim, name, TABLES, places(cells), ()) == ""


def test_a_data_set_that_is_not_here_is_named_and_one_that_is_here_is_not():
    cifar100 = claim({"series": "pRD (s=2, k=25)", "column": "pgd"})
    told = lacking(cifar100, "vq_table3", TABLES, (), {"cifar10"})
    assert "needs cifar100, whose images have to be brought, see docs/data.md" in told
    assert "docs/data.md" not in lacking(cifar100, "vq_table3", TABLES, (), {"cifar100"})


def test_f_is_named_by_its_weights_or_its_training():
    told = lacking(claim({"series": "SCORE", "column": "pgd"}), "vq_table3", TABLES, (), ())
    assert "with its released weights" in told
    told = lacking(claim({"series": "pRD", "column": "removed"}), "vq_figure10", TABLES, (), ())
    assert all(f"resnet18 from a checkpoint or trained for {epochs} epochs" in told for epochs in (25, 200))


def test_a_difference_of_columns_takes_the_cells_of_both_and_a_claim_those_of_both_tables():
    found = cells_of(claim({"series": "pRD", "x": 10, "column": "natural - robust"}), "vq_figure4", TABLES)
    assert {cell.column for cell in found} == {"natural", "robust"}
    knows = next(claim for claim in TABLES["vq_table5"].claims if claim.than and "table" in claim.than)
    assert {cell.table for cell in cells_of(knows, "vq_table5", TABLES)} == {"vq_table5", "vq_table2"}


def test_the_command_takes_the_missing_cells_alone():
    cells = [cell for cell in TABLES["vq_figure10"].cells() if cell.column == "removed"]
    (command,) = commands(cells, TABLES)
    assert shlex.split(command)[3:] == ["figure=vq_figure10", 'figure.only_columns=["removed"]']
    (command,) = commands(cells[:1], TABLES)
    assert shlex.split(command)[4:] == [
        'figure.only_rows=["MNIST, RandDisc"]',
        'figure.only_columns=["removed"]',
    ]
    every = [*TABLES["vq_table1"].cells(), *TABLES["vq_table4"].cells()]
    assert commands(every, TABLES) == [
        "python run.py -m table=vq_table1",
        "python run.py -m table=vq_table4",
    ]
