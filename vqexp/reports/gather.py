"""From records to the cells of tables and figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vqexp.reports.figure import Figure, figure_path, read_figure
from vqexp.reports.points import Point, measured_point, reported_point
from vqexp.reports.table import Cell, Table
from vqexp.store import key_of

Record = dict[str, Any]
Place = tuple[str, str]  # row, column


@dataclass(frozen=True)
class Section:
    """A table measured on one classifier for each of its setups; `places`: the cells that it could have."""

    classifiers: tuple[str, ...]
    records: dict[Place, Record]
    places: frozenset[Place]

    @property
    def title(self) -> str:
        """The classifiers' names."""
        return "; ".join(self.classifiers)


def by_table(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Measurements by the table or figure that they were made for. Smoke runs are none."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if not record["smoke"] and record["reported"] and record["reported"].get("table"):
            found.setdefault(record["reported"]["table"], []).append(record)
    return found


def sections(table: Table, records: Sequence[Record]) -> list[Section]:
    """The table's measurements; the first section has, of each setup, the classifier that fills most cells.

    Of several records of a cell the one with the most images counts, then runs, then the newest.
    """
    setups = {(cell.row, cell.column): cell.setup for cell in table.cells()}
    found: dict[tuple[str, ...], dict[str, dict[Place, Record]]] = {}
    for record in records:
        claim = record["reported"]
        place = (claim["row"], claim["column"])
        if place not in setups or claim["metric"] not in record["metrics"]:
            continue
        cells = found.setdefault(setups[place], {}).setdefault(classifier_name(record), {})
        if place not in cells or weight(record) > weight(cells[place]):
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
    return -len(cells), -sum(weight(record)[0] for record in cells.values())


def weight(record: Record) -> tuple[int, int, str]:
    """How much a measurement counts: images, runs, date."""
    estimate = record["metrics"][record["reported"]["metric"]]
    return estimate["n"], estimate["runs"], record["provenance"]["date"]


def classifier_name(record: Record) -> str:
    """`resnet18, checkpoint 0123456789ab` or `resnet18, trained by Standard (epochs 25, ...)`."""
    identity = record["classifier"]
    name = str(identity["_target_"]).rsplit(".", 1)[-1]
    if identity.get("checkpoint"):
        return f"{name}, checkpoint {identity['checkpoint'][:12]}"
    if identity.get("name"):
        return f"{name}, {identity['name']}"
    if identity.get("weights"):
        return f"{name}, weights {identity['weights']}"
    training = identity["training"]
    recipe = ", ".join(
        f"{key} {training[key]}" for key in ("epochs", "optimizer", "lr", "augment") if key in training
    )
    recipe += f", from checkpoint {training['start'][:12]}" if training.get("start") else ""
    recipe += f", key {key_of('classifier', identity)[:8]}"
    return f"{name}, trained by {training['_target_'].rsplit('.', 1)[-1]} ({recipe})"


def measured_points(table: Table, records: Mapping[Place, Record]) -> list[Point]:
    """The cells that were measured."""
    found = [
        measured_point(cell, records[cell.row, cell.column])
        for cell in table.cells()
        if (cell.row, cell.column) in records
    ]
    return [point for point in found if point is not None]


def reported_points(table: Table) -> list[Point]:
    """The cells with a value in the paper, quoted ones too, once where several columns share it."""
    cells: list[Cell] = [
        cell for cell in table.cells(quoted=True) if "reported_as" not in table.columns[cell.column]
    ]
    return [point for point in map(reported_point, cells) if point is not None]


def with_quoted(table: Table, points: Sequence[Point]) -> list[Point]:
    """Measured points, and the reported ones of rows that are only quoted."""
    quoted = {(cell.series, cell.panel, cell.x) for cell in table.cells(quoted=True) if cell.quoted}
    return [*points, *(p for p in reported_points(table) if (p.series, p.panel, p.x) in quoted)]


def figure_points(figure: Figure, points: Mapping[str, Sequence[Point]]) -> list[Point]:
    """What the figure draws: its own points, or those of other figures, in panels by what their x is."""
    found = list(points.get(figure.table.name, ())) if figure.table else []
    for name in figure.of:
        other = read_figure(figure_path(name))
        for point in figure_points(other, points):
            found.append(replace(point, panel=f"{point.panel}, by {other.x_label}"))
    return found
