"""Drawing lines and trade-offs, so that they can be read in grey and by color-blind readers."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vqexp.core.plot import MARKERS, save
from vqexp.core.text import span
from vqexp.reports.analysis.names import column_title
from vqexp.reports.analysis.points import Point, select
from vqexp.reports.render.colors import series_colors, shades
from vqexp.reports.spec.figure import Figure

LINES = {"solid": "-", "dashed": "--", "dash-dotted": "-."}  # a column each; dotted is what is reported
MOST = 6  # lines of a panel
CROWDED = 0.09  # of the axis: ticks at the measured values themselves, unless some are closer
APART = 0.012  # of the axis: how far series stand apart, so that their error bars can be told apart
SIZE = (3.4, 2.7)  # inches, of a panel
WIDE, HIGH = 46, 38  # letters that fit below a panel, and beside it
ACROSS = 2  # panels
WARNING = "#d55e00"


def plot(
    figure: Figure, points: Sequence[Point], folder: Path, note: str = "", reported: Sequence[Point] = ()
) -> list[Path]:
    """Writes `NAME.pdf` and `NAME.png` into `folder`, unless there are no points; returns the files.

    Error bars are 95 % intervals over images. reported: the paper's values, drawn hollow and dotted where
    something was measured. `note` is printed across the top.
    """
    shown = select(points, {"column": figure.shows}) if figure.kind == "lines" else list(points)
    panels = list(dict.fromkeys(point.panel for point in shown))
    if not panels:
        return []
    look = Look(figure, shown)
    said = [
        p for p in select(reported, {"column": figure.shows}) if p.panel in panels and p.series in look.names
    ]
    groups = panel_groups(figure, shown, said) if figure.kind == "lines" else [(figure.shows, look.names)]
    across = len(panels) if len(groups) > 1 else min(len(panels), ACROSS)
    down = len(groups) * -(-len(panels) // across)
    canvas, axes = plt.subplots(
        down,
        across,
        figsize=(SIZE[0] * max(across, 1.3), SIZE[1] * down + 0.5),
        squeeze=False,
        sharey=figure.y_label.endswith("(%)"),
        layout="constrained",
    )
    places = [(columns, series, panel) for columns, series in groups for panel in panels]
    for axis in axes.flat[len(places) :]:
        axis.axis("off")
    for axis, (columns, series, panel) in zip(axes.flat, places, strict=False):
        own, theirs = (
            [p for p in some if p.panel == panel and p.column in columns and p.series in series]
            for some in (shown, said)
        )
        if figure.kind == "lines":
            plot_lines(axis, figure, panel, columns, own, theirs, look)
        else:
            plot_tradeoff(axis, figure, own, theirs, look)
        axis.set_title(_title(figure, panel, columns, own, look))
        axis.grid(alpha=0.3)
    handles = look.handles(reported=bool(said))
    canvas.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), across + 1))
    if note:
        canvas.suptitle(note, color=WARNING)
    return save(canvas, folder / figure.name)


class Look:
    """Color and marker of each line: of a series or, where there is a single one, of a column."""

    def __init__(self, figure: Figure, points: Sequence[Point]) -> None:
        self.names = list(dict.fromkeys(point.series for point in points))
        colors = series_colors(points)
        self.by_column = len(self.names) == 1 and len(figure.shows) > 1 and figure.kind == "lines"
        if self.by_column:
            columns = [name for name in figure.shows if any(point.column == name for point in points)]
            colors = dict(zip(columns, shades(colors[self.names[0]], len(columns)), strict=True))
        self.colors = colors
        self.numbers = {name: number for number, name in enumerate(colors)}

    def of(self, series: str, column: str) -> tuple[str, str, int]:
        """Returns color, marker and number of a line."""
        name = column if self.by_column else series
        number = self.numbers[name]
        return self.colors[name], MARKERS[number % len(MARKERS)], number

    def handles(self, *, reported: bool) -> list[Line2D]:
        """Returns the legend's entries; with `reported`, one that says how reported values look."""
        found = [
            Line2D([], [], color=color, marker=MARKERS[number % len(MARKERS)], label=label)
            for number, (name, color) in enumerate(self.colors.items())
            for label in [column_title(name) if self.by_column else name]
        ]
        hollow = Line2D([], [], color="#777777", marker="o", mfc="white", linestyle=":", label="reported")
        return [*found, hollow] if reported else found


def panel_groups(
    figure: Figure, points: Sequence[Point], reported: Sequence[Point]
) -> list[tuple[list[str], list[str]]]:
    """Returns (columns, series) of each row of panels: as few rows as keep every panel to `MOST` lines.

    Columns share a row while they fit; where a single one has too many lines, its series are split.
    """
    columns = [name for name in figure.shows if any(point.column == name for point in points)]
    series = list(dict.fromkeys(point.series for point in points))
    lines = {(p.panel, p.series, p.column, p.n > 0) for p in (*points, *reported)}

    def fits(columns: Sequence[str], series: Sequence[str]) -> bool:
        panels = [panel for panel, name, column, _ in lines if name in series and column in columns]
        return len(columns) <= len(LINES) and all(panels.count(panel) <= MOST for panel in panels)

    rows = _packed(columns, lambda some: fits(some, series))
    return [(row, part) for row in rows for part in _packed(series, partial(fits, row))]


def _packed(names: Sequence[str], fits: Callable[[list[str]], bool]) -> list[list[str]]:
    """Returns the names in order, in as few groups as fit; one that does not fit alone stands alone."""
    groups: list[list[str]] = []
    for name in names:
        if groups and fits([*groups[-1], name]):
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _title(figure: Figure, panel: str, columns: Sequence[str], points: Sequence[Point], look: Look) -> str:
    """Returns the panel's name, how many images its values are based on, and what its line styles are."""
    n = span(point.n for point in points if point.n)
    whose = look.names[0] if look.by_column else ""
    title = ", ".join(text for text in (panel.split(", by ")[0], whose, n and f"n {n}") if text)
    if figure.kind != "lines" or len(figure.shows) == 1 or look.by_column:
        return title
    styles = [f"{column_title(name)} ({line})" for name, line in zip(columns, LINES, strict=False)]
    return f"{title}\n{', '.join(styles) if len(columns) > 1 else column_title(columns[0])}"


def plot_lines(
    axis: Axes,
    figure: Figure,
    panel: str,
    columns: Sequence[str],
    points: Sequence[Point],
    reported: Sequence[Point],
    look: Look,
) -> None:
    """Draws each series and column over x, measured and reported."""
    ticks = sorted({float(p.x) for p in points if p.x is not None})
    width = ticks[-1] - ticks[0] if ticks else 0
    shift = 0 if figure.x_scale == "log" else APART * width
    styles = list(LINES.values())
    for (series, column), line in _lines(points).items():
        color, marker, number = look.of(series, column)
        # what a symlog axis shows, as a divergence, is never negative
        lows = [max(0.0, p.low) if figure.scale == "symlog" else p.low for p in line]
        axis.errorbar(
            [float(p.x or 0) + shift * (number - (len(look.numbers) - 1) / 2) for p in line],
            [p.value for p in line],
            yerr=[
                [max(0.0, p.value - low) for p, low in zip(line, lows, strict=True)],
                [max(0.0, p.high - p.value) for p in line],
            ],
            color=color,
            marker=marker,
            linestyle=styles[0 if look.by_column else columns.index(column)],
            markersize=4.5,
            linewidth=1.3,
            elinewidth=0.6,
        )
    for (series, column), line in _lines(reported).items():
        color, marker, _ = look.of(series, column)
        values = [p.value for p in line]
        hollow: dict[str, Any] = {
            "color": color,
            "marker": marker,
            "mfc": "white",
            "markersize": 4.5,
            "linewidth": 1.1,
        }
        axis.plot([float(p.x or 0) for p in line], values, linestyle=":", **hollow)
    axis.set(xlabel=fill(figure.x_label_of(panel), WIDE), ylabel=fill(figure.y_label, HIGH))
    axis.set(xscale=figure.x_scale, yscale=figure.scale)
    if figure.y_label.endswith("(%)"):
        axis.set_ylim(-3, 103)
    if figure.scale == "symlog" and all(p.value >= 0 for p in points):
        axis.set_ylim(0, max(10, axis.get_ylim()[1]))
    if all(right - left >= CROWDED * width for left, right in pairwise(ticks)):
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _lines(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    lines = defaultdict(list)
    for point in points:
        if point.x is not None:
            lines[point.series, point.column].append(point)
    return {name: sorted(line, key=lambda point: point.x or 0) for name, line in lines.items()}


def plot_tradeoff(
    axis: Axes, figure: Figure, points: Sequence[Point], reported: Sequence[Point], look: Look
) -> None:
    """Draws the second of the two columns in `shows` over the first, with x beside each point."""
    across, up = figure.shows
    hollow: dict[str, Any] = {"mfc": "white", "linestyle": ":"}
    for some, more in ((points, {}), (reported, hollow)):
        values = {(point.series, point.x, point.column): point.value for point in some}
        for series in look.names:
            xs = sorted({x for name, x, _ in values if name == series and x is not None})
            xs = [x for x in xs if (series, x, across) in values and (series, x, up) in values]
            places = [(values[series, x, across], values[series, x, up]) for x in xs]
            if not places:
                continue
            color, marker, _ = look.of(series, up)
            axis.plot(*zip(*places, strict=True), color=color, marker=marker, markersize=4.5, **more)
            for x, place in zip(xs, places, strict=True):
                axis.annotate(f"{x:g}", place, textcoords="offset points", xytext=(4, 4))
    axis.set(xlabel=f"{column_title(across)} accuracy (%)", ylabel=f"{column_title(up)} accuracy (%)")
