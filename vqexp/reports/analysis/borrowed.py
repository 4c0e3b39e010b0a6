"""What a paper's tables report for the cells of its figures, which are printed as pictures alone."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from vqexp.reports.analysis.names import paper_of
from vqexp.reports.analysis.points import Point, reported_point
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.fill import F, cell_key
from vqexp.reports.spec.settings import group_of
from vqexp.reports.spec.table import Table

SCALE = "cpu"  # at which settings are compared; any does


def reported_cells(tables: Iterable[Table]) -> dict[Hashable, Cell]:
    """Returns the cells with a reported value, by paper, settings and metric."""
    found: dict[Hashable, Cell] = {}
    for table in tables:
        for cell in table.cells():
            if cell.reported and "reported_as" not in table.columns[cell.column]:
                found.setdefault(_key(cell), cell)
    return found


def borrowed_points(table: Table, known: dict[Hashable, Cell]) -> list[Point]:
    """Returns a point for each cell of a figure that has the settings of a `known` one, or its own value."""
    found = []
    for cell in table.cells():
        same = known.get(_key(cell))
        reported = cell.reported or (same.reported if same else None)
        found.append(reported_point(replace(cell, reported=reported)))
    return [point for point in found if point is not None]


def _key(cell: Cell) -> Hashable:
    of_f: Sequence[tuple[str, object]] = sorted(
        (name, value) for name, value in cell.settings.items() if group_of(name) in F
    )
    return paper_of(cell.source), cell.metric, tuple(map(str, of_f)), cell_key(cell.settings, SCALE)
