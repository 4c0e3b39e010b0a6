"""What a finished sweep over a table or figure shows: the cells, what becomes of the claims, the drawing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vqexp.core.store import Store
from vqexp.pipeline.outcomes import with_outcomes
from vqexp.reports.analysis.caveats import brittle
from vqexp.reports.analysis.claims import Verdict, judge
from vqexp.reports.analysis.gather import figure_points, with_quoted
from vqexp.reports.analysis.points import Point, measured_point
from vqexp.reports.spec.figure import Figure
from vqexp.reports.spec.table import Cell, Table, print_table

SMOKE_NOTE = "scale=smoke: a check of the machinery, no measurement"


def finish(
    tables: Sequence[Table],
    figure: Figure | None,
    places: Sequence[tuple[Table, Cell, str]],
    root: str | Path,
    smoke: bool,
) -> None:
    """Print tables and claims, and write the figure under `root`/figures.

    In smoke runs under figures/smoke, and where not all rows were wanted under figures/part, so that a part
    never stands for the whole. places: (table, cell, path of its record).
    """
    store = Store(root)
    records: dict[str, Mapping[str, Any]] = {
        path: with_outcomes(json.loads(Path(path).read_text()), store)
        for path in dict.fromkeys(path for *_, path in places)
    }
    points: dict[str, list[Point]] = {}
    for table in tables:
        own = [(cell, path) for other, cell, path in places if other is table]
        print_table(table, [cell for cell, _ in own], [path for _, path in own])
        found = [measured_point(cell, records[path]) for cell, path in own]
        points[table.name] = with_quoted(table, [point for point in found if point is not None])
    named = [(table.name, claim) for table in tables for claim in table.claims]
    if figure is not None:
        points[figure.name] = figure_points(figure, points)
        named += [(figure.name, claim) for claim in figure.claims]
    verdicts = [judge(claim, name, points, brittle(records.values())) for name, claim in named]
    if smoke:
        print(SMOKE_NOTE)
    else:
        print_verdicts(verdicts)
    if figure is not None:
        part = any(table.only_rows is not None or table.only_columns is not None for table in tables)
        folder = Path(root) / "figures" / ("smoke" if smoke else "part" if part else "")
        cells = [(cell, records[path]) for _, cell, path in places]
        for path in draw_figure(figure, points[figure.name], cells, folder, SMOKE_NOTE if smoke else ""):
            print(f"figure: {path}")


def draw_figure(
    figure: Figure,
    points: Sequence[Point],
    cells: Sequence[tuple[Cell, Mapping[str, Any]]],
    folder: Path,
    note: str = "",
) -> list[Path]:
    """The files written, a PDF and a PNG; none if nothing was measured."""
    # pyplot is slow to import
    from vqexp.papers.vq.schematic import draw_schematic
    from vqexp.reports.render.draw import draw
    from vqexp.reports.render.pictures import draw_picture_figure

    if figure.kind == "schematic":
        return draw_schematic(figure.shows[0], folder / figure.name)
    if figure.kind == "pictures":
        return draw_picture_figure(figure, cells, folder, note)
    return draw(figure, points, folder, note)


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """A line for each claim that something was measured for."""
    for verdict in verdicts:
        if verdict.held is None:
            continue
        counts = f" ({verdict.good} of {verdict.total} comparisons)" if verdict.total else ""
        told = "".join(f"; {text}" for text in verdict.beside)
        print(f"{verdict.word}{counts}{told}: {verdict.text} ({verdict.place})")
