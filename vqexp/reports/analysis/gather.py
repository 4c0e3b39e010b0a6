"""From records to the cells of tables and figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vqexp.core.keys import key_of
from vqexp.reports.analysis.points import Point, measured_point, reported_point
from vqexp.reports.spec.figure import Figure, figure_path, read_figure
from vqexp.reports.spec.fill import cell_key, says_of_f, settings_key
from vqexp.reports.spec.table import Cell, Table

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


def by_settings(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Measurements by what must agree with a cell that they fill (`settings_key`). Smoke runs are none."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if not record["smoke"]:
            found.setdefault(settings_key(record["config"]), []).append(record)
    return found


def sections(table: Table, records: Mapping[str, Sequence[Record]]) -> list[Section]:
    """The table's measurements; the first section has, of each setup, the classifier that fills most cells.

    records: by their settings. Of several of a cell the one with the most images counts, then runs, then the
    newest.
    """
    data = {record["config"]["dataset"]["name"] for some in records.values() for record in some}
    setups = {(cell.row, cell.column): cell.setup for cell in table.cells()}
    found: dict[tuple[str, ...], dict[str, dict[Place, Record]]] = {}
    for cell in table.cells():
        place = (cell.row, cell.column)
        for record in _fitting(cell, records) if cell.dataset in data else ():
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


def _fitting(cell: Cell, records: Mapping[str, Sequence[Record]]) -> list[Record]:
    """The records that fill a cell."""
    scales = {record["config"]["scale"]["name"] for some in records.values() for record in some}
    return [
        record
        for scale in sorted(scales)
        for record in records.get(cell_key(tuple(cell.settings), scale), ())
        if record["config"]["scale"]["name"] == scale
        and cell.metric in record["metrics"]
        and says_of_f(cell.settings, record)
    ]


def _rank(cells: Mapping[Place, Record]) -> tuple[int, int]:
    images = sum(record["config"]["dataset"]["n"] or 10**9 for record in cells.values())
    return -len(cells), -images


def weight(record: Record, metric: str) -> tuple[int, int, str]:
    """How much a measurement counts: images, runs, date."""
    estimate = record["metrics"][metric]
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
        f"{key} {_name(training[key])}" for key in ("epochs", "optimizer", "lr", "augment") if key in training
    )
    recipe += f", from checkpoint {training['start'][:12]}" if training.get("start") else ""
    recipe += f", key {key_of('classifier', identity)[:8]}"
    return f"{name}, trained by {_name(training.get('objective') or training)} ({recipe})"


def _name(value: Any) -> str:
    """A setting in a word; a component is called after its class."""
    return str(value["_target_"]).rsplit(".", 1)[-1] if isinstance(value, Mapping) else str(value)


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
