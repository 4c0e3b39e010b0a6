"""Finding the records that fill a table or figure, and turning them into points."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vqexp.pipeline.record import Record
from vqexp.reports.analysis.classifier import classifier_names, is_trained
from vqexp.reports.analysis.points import Point, measured_point, reported_point
from vqexp.reports.analysis.trainings import family, images_of, seed_of, together
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.figure import Figure, figure_path, read_figure
from vqexp.reports.spec.fill import Index
from vqexp.reports.spec.table import Table

Place = tuple[str, str]  # row, column


@dataclass(frozen=True)
class Section:
    """A table's records, one classifier for each setup; `places`: the cells that are shown.

    measured: of each cell all records, one for each training of the classifier, by seed; a cell's entry in
    `records` is what they say together.
    """

    classifiers: tuple[str, ...]
    records: dict[Place, Record]
    places: frozenset[Place]
    measured: dict[Place, list[Record]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The classifiers' names."""
        return "; ".join(self.classifiers)

    def behind(self, place: Place) -> list[Record]:
        """The records of a cell, one for each training."""
        return self.measured.get(place, [self.records[place]])

    @property
    def every(self) -> list[Record]:
        """The records of all cells, each once."""
        return list({record.key: record for place in self.records for record in self.behind(place)}.values())


def sections(table: Table, records: Index) -> list[Section]:
    """Returns the table's records by classifier; the first section has each setup's most complete one.

    The first shows all cells; each of the others shows the rows of which anything was measured. Of several
    records of a cell by one seed and over as many images the heaviest counts (`weight`).
    """
    setups = {cell.place: cell.setup for cell in table.cells()}
    found: dict[Hashable, dict[str, dict[Place, list[Record]]]] = {}
    for cell in table.cells():
        place = cell.place
        for record in records.filling(cell) if cell.dataset in records.datasets else ():
            cells = found.setdefault(cell.setup, {}).setdefault(family(record), {})
            cells.setdefault(place, []).append(record)
        for cells in found.get(cell.setup, {}).values():
            if place in cells:
                cells[place] = _by_seed(cells[place], cell.metric)
    if not found:
        return []
    ranked = {setup: sorted(named.values(), key=_rank) for setup, named in found.items()}
    best = {place: every for named in ranked.values() for place, every in named[0].items()}
    others = [
        _section(cells, _rows_of(cells, [place for place, own in setups.items() if own == setup]))
        for setup, named in ranked.items()
        for cells in named[1:]
    ]
    return [_section(best, frozenset(setups)), *others]


def _rows_of(cells: Collection[Place], places: Collection[Place]) -> frozenset[Place]:
    """Returns those places whose row has any of the cells."""
    rows = {row for row, _ in cells}
    return frozenset((row, column) for row, column in places if row in rows)


def _section(cells: Mapping[Place, list[Record]], places: frozenset[Place]) -> Section:
    names = classifier_names(record for every in cells.values() for record in every)
    records = {place: together(every) for place, every in cells.items()}
    return Section(names, records, places, dict(cells))


def _by_seed(records: Sequence[Record], metric: str) -> list[Record]:
    """Returns a record of each seed, all over as many images: the most, unless f is trained.

    If it is, the spread of trainings is worth more than images, so it is the number that most seeds have.
    Records without a value are left out if any has one.
    """
    by_n: dict[int, dict[int, Record]] = {}
    records = [record for record in records if record.metrics[metric].known] or records
    for record in sorted(records, key=lambda record: weight(record, metric)):
        by_n.setdefault(images_of(record, metric), {})[seed_of(record)] = record
    trained = is_trained(records[0])
    best = max(by_n, key=lambda n: (len(by_n[n]) if trained else 0, n))
    return [record for _, record in sorted(by_n[best].items())]


def _rank(cells: Mapping[Place, list[Record]]) -> tuple[int, int]:
    images = sum(every[0].config["dataset"]["n"] or 10**9 for every in cells.values())
    return -len(cells), -images


def weight(record: Record, metric: str) -> tuple[int, int, str]:
    """How much a measurement counts: most images first, then most runs, then the newest."""
    return images_of(record, metric), record.metrics[metric].runs, record.provenance.date


def measured_points(table: Table, records: Mapping[Place, Record]) -> list[Point]:
    """Returns a point for each cell that was measured."""
    found = [measured_point(cell, records[cell.place]) for cell in table.cells() if cell.place in records]
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
