"""Ending a sweep over a table or figure: prints its cells and claims, and draws the figure."""

from collections.abc import Sequence
from pathlib import Path

from vqexp.core.places import place
from vqexp.core.store import Store
from vqexp.pipeline.outcomes import with_outcomes
from vqexp.pipeline.reading import read
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.caveats import brittle
from vqexp.reports.analysis.gather import figure_points, with_quoted
from vqexp.reports.analysis.judge import judge
from vqexp.reports.analysis.notes import notes
from vqexp.reports.analysis.points import Point, measured_point
from vqexp.reports.analysis.trainings import together
from vqexp.reports.render.figures import draw_figure
from vqexp.reports.render.terminal import print_claims, print_table
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.figure import Figure
from vqexp.reports.spec.table import Table

SMOKE_NOTE = "scale=smoke: a check of the machinery, no measurement"


def finish(
    tables: Sequence[Table],
    figure: Figure | None,
    places: Sequence[tuple[Table, Cell, str]],
    root: str | Path,
    smoke: bool,
) -> None:
    """Prints tables and claims, and draws the figure into `root`/figures.

    A smoke run draws into figures/smoke, and a part of a figure into figures/part, so that neither is taken
    for the whole. places: (table, cell, path of its record); a cell has one for each training of f.
    """
    store = Store(root)
    paths = dict.fromkeys(path for *_, path in places)
    found = {path: with_outcomes(read(path), store) for path in paths}
    trainings: dict[tuple[str, str, str], list[Record]] = {}
    for table, cell, path in places:
        trainings.setdefault((table.name, cell.row, cell.column), []).append(found[path])
    records = {place: together(every) for place, every in trainings.items()}
    cells = {(table.name, cell.row, cell.column): cell for table, cell, _ in places}
    points: dict[str, list[Point]] = {}
    for table in tables:
        own = [(cells[place], record) for place, record in records.items() if place[0] == table.name]
        print_table(table, own)
        measured = [measured_point(cell, record) for cell, record in own]
        points[table.name] = with_quoted(table, [point for point in measured if point is not None])
    named = [(table.name, claim) for table in tables for claim in table.claims]
    if figure is not None:
        points[figure.name] = figure_points(figure, points)
        named += [(figure.name, claim) for claim in figure.claims]
    if smoke:
        print(SMOKE_NOTE)
    else:
        for table in tables:
            measured_of = {place[1:]: every for place, every in trainings.items() if place[0] == table.name}
            for line in notes(table, measured_of):
                print(line)
        known = brittle(records.values())
        print_claims([judge(claim, name, points, known) for name, claim in named])
    if figure is not None:
        part = any(table.only_rows is not None or table.only_columns is not None for table in tables)
        folder = place(root) / "figures" / ("smoke" if smoke else "part" if part else "")
        drawn = [(cells[place], record) for place, record in records.items()]
        for file in draw_figure(figure, points[figure.name], drawn, folder, SMOKE_NOTE if smoke else ""):
            print(f"figure: {file}")
