"""Gathering what the report shows, once for its Markdown, HTML and LaTeX."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vqexp.core.atomic import write_atomically
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.borrowed import borrowed_points, reported_cells
from vqexp.reports.analysis.caveats import brittle
from vqexp.reports.analysis.gaps import Values, Waterfall, waterfalls
from vqexp.reports.analysis.gather import (
    Section,
    figure_points,
    measured_points,
    reported_points,
    sections,
    with_quoted,
)
from vqexp.reports.analysis.judge import Judgement, judge
from vqexp.reports.analysis.notes import notes
from vqexp.reports.analysis.points import Point
from vqexp.reports.analysis.reasons import reason
from vqexp.reports.analysis.unmeasured import lacking
from vqexp.reports.render.figures import draw_figure
from vqexp.reports.render.waterfall import draw_waterfall
from vqexp.reports.spec.figure import Figure, all_figures
from vqexp.reports.spec.fill import Index
from vqexp.reports.spec.table import Table, all_tables


@dataclass(frozen=True)
class Judged:
    """A claim, judged by the measured values and by the paper's own. ours: a check that no paper makes."""

    source: str
    measured: Judgement
    own: Judgement
    ours: bool


@dataclass(frozen=True)
class Entry:
    """A table with its measurements, by classifier."""

    table: Table
    sections: list[Section]

    @property
    def shown(self) -> list[Section]:
        """The sections; if nothing was measured, an empty one without a title."""
        every = frozenset(cell.place for cell in self.table.cells())
        return self.sections or [Section((), {}, every)]


@dataclass(frozen=True)
class Drawn:
    """A figure with its cells' measurements. files: its PDF and PNG, if it was drawn."""

    figure: Figure
    entries: list[Entry]
    files: list[Path]


@dataclass(frozen=True)
class Material:
    """Tables, figures and claims of a report, and what lies between reported and measured values.

    pictures: of the waterfalls, by name.
    """

    tables: list[Entry]
    figures: list[Drawn]
    claims: list[Judged]
    waterfalls: list[Waterfall] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)

    @property
    def entries(self) -> list[Entry]:
        """All tables, and those of the figures, each once."""
        every = [*self.tables, *(entry for drawn in self.figures for entry in drawn.entries)]
        return list({entry.table.name: entry for entry in every}.values())


def with_notes(entry: Entry) -> Entry:
    """Returns the entry with what its numbers say beside the notes of its table."""
    if not entry.sections:
        return entry
    table = entry.table
    told = notes(table, entry.sections[0].measured)
    return replace(entry, table=replace(table, notes=[*table.notes, *told]))


def gather(records: Sequence[Record], store: Path, folder: Path) -> Material:
    """Matches the records to all tables and figures, draws into `folder`/figures and judges the claims."""
    index = Index(records)
    entries = [with_notes(Entry(table, sections(table, index))) for table in all_tables()]
    figures = all_figures()
    own = {figure.table.name: figure.table for figure in figures if figure.table}
    of_figures = {name: Entry(table, sections(table, index)) for name, table in own.items()}
    measured: dict[str, list[Point]] = {}
    reported: dict[str, list[Point]] = {}
    for entry in [*entries, *of_figures.values()]:
        best = entry.sections[0].records if entry.sections else {}
        found = measured_points(entry.table, best)
        # what other papers say counts beside what was measured, never alone
        measured[entry.table.name] = with_quoted(entry.table, found) if found else []
        reported[entry.table.name] = reported_points(entry.table)
    for figure in figures:
        measured[figure.name] = figure_points(figure, measured)
        reported[figure.name] = figure_points(figure, reported)
    known = reported_cells(entry.table for entry in entries)
    printed = {name: borrowed_points(entry.table, known) for name, entry in of_figures.items()}
    drawn = []
    for figure in figures:
        cells = [of_figures[table.name] for table in figure.tables]
        points, theirs = measured[figure.name], figure_points(figure, printed)
        drawn.append(Drawn(figure, cells, _files(figure, points, theirs, store, folder / "figures")))
    claimed = [(e.table.name, e.table.source, claim) for e in entries for claim in e.table.claims]
    claimed += [(figure.name, figure.source, claim) for figure in figures for claim in figure.claims]
    fragile = brittle(records)
    values = _values([*entries, *of_figures.values()])
    tables = {entry.table.name: entry.table for entry in [*entries, *of_figures.values()]}
    claims = []
    for name, source, claim in claimed:
        judged = judge(claim, name, measured, fragile)
        why = (
            reason(claim.reason, values)
            if judged.held is not None
            else lacking(claim, name, tables, values, index.datasets)
        )
        claims.append(Judged(source, replace(judged, reason=why), judge(claim, name, reported), claim.ours))
    gaps = waterfalls({entry.table.name: entry.table for entry in entries}, values)
    pictures = {each.name: path for each in gaps if (path := draw_waterfall(each, folder / "figures"))}
    return Material(entries, drawn, claims, gaps, pictures)


def _values(entries: Iterable[Entry]) -> Values:
    """Returns what was measured, by table, row and column."""
    return {
        (entry.table.name, cell.row, cell.column): section.records[cell.place].metrics[cell.metric]
        for entry in entries
        for section in entry.sections[:1]
        for cell in entry.table.cells()
        if cell.place in section.records
    }


def _files(
    figure: Figure, points: Sequence[Point], reported: Sequence[Point], store: Path, folder: Path
) -> list[Path]:
    """Draws the figure; copies pictures from the store, or finds those of an earlier report."""
    if figure.kind != "pictures":
        return draw_figure(figure, points, (), folder, reported=reported)
    found = [store / "figures" / f"{figure.name}.{ending}" for ending in ("pdf", "png")]
    if not all(path.exists() for path in found):
        return [folder / path.name for path in found if (folder / path.name).exists()]
    return [_copied(path, folder / path.name) for path in found]


def _copied(path: Path, to: Path) -> Path:
    write_atomically(to, path.read_bytes())
    return to
