"""Finding the records that fill a table or figure, and turning them into points."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from vqexp.pipeline.record import Record
from vqexp.reports.analysis.classifier import classifier_name
from vqexp.reports.analysis.points import Point, measured_point, reported_point
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.figure import Figure, figure_path, read_figure
from vqexp.reports.spec.fill import Index
from vqexp.reports.spec.table import Table

Place = tuple[str, str]  # row, column


@dataclass(frozen=True)
class Section:
    """A table's records, one classifier for each setup; `places`: all cells that could be in it."""

    classifiers: tuple[str, ...]
    records: dict[Place, Record]
    places: frozenset[Place]

    @property
    def title(self) -> str:
        """The classifiers' names."""
        return "; ".join(self.classifiers)


def sections(table: Table, records: Index) -> list[Section]:
    """Returns the table's records by classifier; the first section has each setup's most complete one.

    Of several records of a cell the heaviest counts (`weight`).
    """
    setups = {(cell.row, cell.column): cell.setup for cell in table.cells()}
    found: dict[Hashable, dict[str, dict[Place, Record]]] = {}
    for cell in table.cells():
        place = (cell.row, cell.column)
        for record in records.filling(cell) if cell.dataset in records.datasets else ():
            cells = found.setdefault(cell.setup, {}).setdefault(classifier_name(record), {})
            if place not in cells or weight(record, cell.metric) > weight(cells[place], cell.metric):
                cells[place] = record
    if not found:
        return []
    ranked = {setup: sorted(named.items(), key=lambda item: _rank(item[1])) for setup, named in found.items()}
    best = {place: record for named in ranked.values() for place, record in named[0][1].items()}
    names = tuple(dict.fromkeys(named[0][0] for named in ranked.values()))
    others = [
        Section((name,), cells, frozenset(place for place, own in setups.items() if own == setup))
        for setup, named in ranked.items()
        for name, cells in named[1:]
    ]
    return [Section(names, best, frozenset(setups)), *others]


def _rank(cells: Mapping[Place, Record]) -> tuple[int, int]:
    images = sum(record.config["dataset"]["n"] or 10**9 for record in cells.values())
    return -len(cells), -images


def weight(record: Record, metric: str) -> tuple[int, int, str]:
    """How much a measurement counts: most images first, then most runs, then the newest."""
    estimate = record.metrics[metric]
    return estimate.n, estimate.runs, record.provenance.date


def measured_points(table: Table, records: Mapping[Place, Record]) -> list[Point]:
    """Returns a point for each cell that was measured."""
    found = [
        measured_point(cell, records[cell.row, cell.column])
        for cell in table.cells()
        if (cell.row, cell.column) in records
    ]
    return [point for point in found if point is not None]


def reported_points(table: Table) -> list[Point]:
    """Returns a point for each value that the paper reports, quoted ones too; one that columns share once."""
    cells: list[Cell] = [
        cell for cell in table.cells(quoted=True) if "reported_as" not in table.columns[cell.column]
    ]
    return [point for point in map(reported_point, cells) if point is not None]


def with_quoted(table: Table, points: Sequence[Point]) -> list[Point]:
    """Returns the measured points, and the reported ones of rows that are only quoted."""
    quoted = {(cell.series, cell.panel, cell.x) for cell in table.cells(quoted=True) if cell.quoted}
    return [*points, *(p for p in reported_points(table) if (p.series, p.panel, p.x) in quoted)]


def figure_points(figure: Figure, points: Mapping[str, Sequence[Point]]) -> list[Point]:
    """Returns the points that the figure draws: its own, and those of other figures in panels named by x."""
    found = list(points.get(figure.table.name, ())) if figure.table else []
    for name in figure.of:
        other = read_figure(figure_path(name))
        for point in figure_points(other, points):
            found.append(replace(point, panel=f"{point.panel}, by {other.x_label}"))
    return found
