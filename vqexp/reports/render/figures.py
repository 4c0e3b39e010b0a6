"""Drawing a figure of any kind: lines, trade-off, pictures or schematic."""

from collections.abc import Sequence
from pathlib import Path

from vqexp.core.components import build
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.points import Point
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.figure import Figure


def draw_figure(
    figure: Figure,
    points: Sequence[Point],
    cells: Sequence[tuple[Cell, Record]],
    folder: Path,
    note: str = "",
    reported: Sequence[Point] = (),
) -> list[Path]:
    """Writes `NAME.pdf` and `NAME.png` into `folder`, unless nothing was measured; returns the files.

    points, reported: what `lines` and `tradeoff` draw, measured and in the paper. cells: with their records,
    what `pictures` are made from.
    """
    # pyplot is slow to import
    from vqexp.reports.render.pictures import draw_picture_figure
    from vqexp.reports.render.plot import plot

    if figure.drawing is not None:
        files: list[Path] = build("figure.drawing", {**figure.drawing, "stem": folder / figure.name}, (list,))
        return files
    if figure.kind == "pictures":
        return draw_picture_figure(figure, cells, folder, note)
    return plot(figure, points, folder, note, reported)
