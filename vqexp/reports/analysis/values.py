"""A figure's numbers as grids, and the commands that measure what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass

from vqexp.core.text import span
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.gather import Place
from vqexp.reports.analysis.names import column_title
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.parts import sweep_command
from vqexp.reports.spec.table import Table


@dataclass(frozen=True)
class Grid:
    """A table of a figure's cells. columns: headings. rows: label and cells, None where there is no cell."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Cell | None]]]

    @property
    def cells(self) -> list[Cell]:
        """All cells of the grid."""
        return [cell for _, cells in self.rows for cell in cells if cell]


def grids(table: Table) -> list[Grid]:
    """Returns a grid for each panel with x across; without x, one grid for all panels with columns across."""
    cells = table.cells()
    if all(cell.x is None for cell in cells):
        places = {(_label(cell.panel, cell.series), cell.column): cell for cell in cells}
        return [_grid("", places)]
    found = []
    for panel in dict.fromkeys(cell.panel for cell in cells):
        own = sorted((cell for cell in cells if cell.panel == panel), key=lambda cell: cell.x or 0)
        # a row's label ends with its x, as `eps=2`
        across = {
            (_label(cell.series, column_title(cell.column)), cell.row.rsplit(", ", 1)[-1]): cell
            for cell in own
        }
        lines = {
            _label(cell.series, column_title(cell.column)): None for cell in cells if cell.panel == panel
        }
        found.append(_grid(panel, across, list(lines)))
    return found


def _grid(title: str, places: Mapping[tuple[str, str], Cell], labels: list[str] | None = None) -> Grid:
    labels = labels or list(dict.fromkeys(label for label, _ in places))
    columns = list(dict.fromkeys(column for _, column in places))
    return Grid(title, columns, [(label, [places.get((label, c)) for c in columns]) for label in labels])


def _label(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def images(grid: Grid, records: Mapping[Place, Record]) -> str:
    """Returns `n 500, runs 3` for the grid's measured cells, or `n 456 to 498, runs 3` if they differ."""
    found = [(records.get(cell.place), cell.metric) for cell in grid.cells]
    estimates = [record.metrics[metric] for record, metric in found if record]
    counts = {name: span(getattr(estimate, name) for estimate in estimates) for name in ("n", "runs")}
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def has_numbers(grid: Grid, records: Mapping[Place, Record]) -> bool:
    """Whether any of its cells was measured or reported."""
    return any(cell.reported or cell.place in records for cell in grid.cells)


def command_of_missing(table: Table, grid: Grid, records: Mapping[Place, Record], options: str) -> str:
    """Returns the command that measures the grid's missing cells; an empty text if none is missing."""
    missing = [cell for cell in grid.cells if cell.place not in records]
    if not missing:
        return ""
    return sweep_command("figure", table, missing, options)
