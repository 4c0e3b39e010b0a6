"""Drawing lines and trade-offs, so that they can be read in grey and by color-blind readers."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from vqexp.core.plot import COLORS, MARKERS, save
from vqexp.core.text import span
from vqexp.reports.analysis.points import Point, select
from vqexp.reports.spec.figure import Figure

LINES = ("-", "--", ":", "-.")
CROWDED = 0.09  # of the axis: ticks at the measured values themselves, unless some are closer
APART = 0.012  # of the axis: how far series stand apart, so that their error bars can be told apart


def plot(figure: Figure, points: Sequence[Point], folder: Path, note: str = "") -> list[Path]:
    """Writes `NAME.pdf` and `NAME.png` into `folder`, unless there are no points; returns the files.

    Error bars are 95 % intervals over images. `note` is printed across the top.
    """
    shown = select(points, {"column": figure.shows}) if figure.kind == "lines" else list(points)
    panels = list(dict.fromkeys(point.panel for point in shown))
    if not panels:
        return []
    canvas, axes = plt.subplots(
        1, len(panels), figsize=(4 * len(panels) + 2.2, 3.6), squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(point.series for point in shown))
    for axis, panel in zip(axes[0], panels, strict=True):
        own = [point for point in shown if point.panel == panel]
        (plot_lines if figure.kind == "lines" else plot_tradeoff)(axis, figure, own, names)
        axis.set_title(_with_n(panel, own))
        axis.grid(alpha=0.3)
    handles, labels = _legend(axes[0])
    canvas.legend(handles, labels, loc="outside right upper", fontsize=8)
    if note:
        canvas.suptitle(note, color="#d55e00", fontsize=9)
    return save(canvas, folder / figure.name)


def _with_n(panel: str, points: Sequence[Point]) -> str:
    """Returns the panel's title: its name, and how many images its values are based on."""
    n = span(point.n for point in points if point.n)
    return ", ".join(text for text in (panel, n and f"n {n}") if text)


def _legend(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return list(entries.values()), list(entries)


def plot_lines(axis: Axes, figure: Figure, points: Sequence[Point], names: Sequence[str]) -> None:
    """Draws each series and column over x."""
    lines = defaultdict(list)
    for point in points:
        if point.x is not None:
            lines[point.series, point.column].append(point)
    ticks = sorted({float(point.x) for line in lines.values() for point in line if point.x is not None})
    span = ticks[-1] - ticks[0] if ticks else 0
    for (series, column), line in lines.items():
        line.sort(key=lambda point: point.x or 0)
        number = names.index(series)
        shift = APART * span * (number - (len(names) - 1) / 2)
        values = [point.value for point in line]
        axis.errorbar(
            [float(point.x or 0) + shift for point in line],
            values,
            yerr=[
                [max(0.0, point.value - point.low) for point in line],
                [max(0.0, point.high - point.value) for point in line],
            ],
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle=LINES[figure.shows.index(column) % len(LINES)],
            markersize=5,
            linewidth=1.3,
            elinewidth=0.6,
            label=series if len(figure.shows) == 1 else f"{series}, {column}",
        )
    axis.set(xlabel=figure.x_label, ylabel=figure.y_label, xscale=figure.x_scale, yscale=figure.scale)
    if all(right - left >= CROWDED * span for left, right in pairwise(ticks)):
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def plot_tradeoff(axis: Axes, figure: Figure, points: Sequence[Point], names: Sequence[str]) -> None:
    """Draws the second of the two columns in `shows` over the first, with x beside each point."""
    across, up = figure.shows
    values = {(point.series, point.x, point.column): point.value for point in points}
    for number, series in enumerate(names):
        xs = sorted({point.x for point in points if point.series == series and point.x is not None})
        xs = [x for x in xs if (series, x, across) in values and (series, x, up) in values]
        places = [(values[series, x, across], values[series, x, up]) for x in xs]
        if not places:
            continue
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        axis.plot(*zip(*places, strict=True), color=color, marker=marker, markersize=5, label=series)
        for x, place in zip(xs, places, strict=True):
            axis.annotate(f"{x:g}", place, textcoords="offset points", xytext=(4, 4), fontsize=7)
    axis.set(xlabel=f"{across} accuracy (%)", ylabel=f"{up} accuracy (%)")
