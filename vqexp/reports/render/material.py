"""All that the report shows, gathered once for its Markdown, HTML and LaTeX."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqexp.papers.vq.schematic import draw_schematic
from vqexp.reports.analysis.caveats import brittle
from vqexp.reports.analysis.claims import Verdict, judge
from vqexp.reports.analysis.gather import (
    Record,
    Section,
    by_settings,
    figure_points,
    measured_points,
    reported_points,
    sections,
    with_quoted,
)
from vqexp.reports.analysis.points import Point
from vqexp.reports.render.draw import draw
from vqexp.reports.spec.figure import Figure, all_figures
from vqexp.reports.spec.table import Cell, Table, all_tables


@dataclass(frozen=True)
class Claim:
    """A claim of a paper: what the measured values say of it, and what the paper's own do.

    ours: no paper says it; it is a check of ours.
    """

    source: str
    measured: Verdict
    own: Verdict
    ours: bool


@dataclass(frozen=True)
class Entry:
    """A table with its measurements, by classifier."""

    table: Table
    sections: list[Section]

    @property
    def shown(self) -> list[Section]:
        """The sections; an empty one, without a title, if nothing was measured."""
        every = frozenset((cell.row, cell.column) for cell in self.table.cells())
        return self.sections or [Section((), {}, every)]


@dataclass(frozen=True)
class Drawn:
    """A figure; its cells' measurements; `files` are its PDF and PNG, if it was drawn."""

    figure: Figure
    entries: list[Entry]
    files: list[Path]


@dataclass(frozen=True)
class Material:
    """What the report shows."""

    tables: list[Entry]
    figures: list[Drawn]
    claims: list[Claim]


def gather(records: Sequence[Record], store: Path, folder: Path) -> Material:
    """Read the tables' and figures' configs, match the records to them, and draw into `folder`/figures."""
    grouped = by_settings(records)
    entries = [Entry(table, sections(table, grouped)) for table in all_tables()]
    figures = all_figures()
    own = {figure.table.name: figure.table for figure in figures if figure.table}
    of_figures = {name: Entry(table, sections(table, grouped)) for name, table in own.items()}
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
    drawn = []
    for figure in figures:
        cells = [of_figures[table.name] for table in figure.tables]
        drawn.append(Drawn(figure, cells, _files(figure, measured[figure.name], store, folder / "figures")))
    claimed = [(e.table.name, e.table.source, claim) for e in entries for claim in e.table.claims]
    claimed += [(figure.name, figure.source, claim) for figure in figures for claim in figure.claims]
    known = brittle(records)
    claims = [
        Claim(
            source,
            judge(claim, name, measured, known),
            judge(claim, name, reported),
            claim.get("ours", False),
        )
        for name, source, claim in claimed
    ]
    return Material(entries, drawn, claims)


def _files(figure: Figure, points: Sequence[Point], store: Path, folder: Path) -> list[Path]:
    """The drawing, made from the points; of pictures, as a sweep left it in the store, or a report here."""
    if figure.kind == "schematic":
        return draw_schematic(figure.shows[0], folder / figure.name)
    if figure.kind != "pictures":
        return draw(figure, points, folder)
    found = [store / "figures" / f"{figure.name}.{ending}" for ending in ("pdf", "png")]
    if not all(path.exists() for path in found):
        return [folder / path.name for path in found if (folder / path.name).exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [_copied(path, folder / path.name) for path in found]


def _copied(path: Path, to: Path) -> Path:
    to.write_bytes(path.read_bytes())
    return to


def instead(table: Table, cell: Cell) -> str:
    """What stands in place of a measurement in a row that is not run: `quoted`, or the row's `quoted_as`."""
    row = next(row for row in table.rows if row["label"] == cell.row)
    return str(row.get("quoted_as", "quoted"))


def command(table: Table, cell: Cell, options: str) -> str:
    """What to type to fill one cell; options: what the table's other cells were told besides."""
    rows, columns = json.dumps([cell.row]), f"[{cell.column}]"
    only = [f"table.only_rows={rows}", f"table.only_columns={columns}"]
    return " ".join(["python run.py -m", f"table={table.name}", *map(shlex.quote, only), options])
