"""Drawing a waterfall: from the reported value down to the measured one, a panel for each defense."""

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from vqexp.core.plot import save
from vqexp.reports.analysis.gaps import Waterfall

ROOM = 30  # percent of the axis, which a text takes
TOTAL, LOSS, GAIN, UNEXPLAINED = "#555555", "#d55e00", "#0072b2", "#cccccc"


def draw_waterfall(waterfall: Waterfall, folder: Path) -> Path | None:
    """Writes `gaps_NAME.pdf` and `.png` into `folder`; returns the PNG, None if no value was measured."""
    measured = [each for each, value in waterfall.steps[0].values.items() if value is not None]
    if not measured:
        return None
    canvas, axes = plt.subplots(
        1,
        len(measured),
        figsize=(3.6 * len(measured) + 1, 2.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, defense in zip(axes[0], measured, strict=True):
        _bars(axis, waterfall, defense)
        axis.set(title=defense, xlabel="right (%)", xlim=(0, 104))
    axes[0][0].invert_yaxis()
    return save(canvas, folder / f"gaps_{waterfall.name}")[1]


def _bars(axis: Axes, waterfall: Waterfall, defense: str) -> None:
    """The report above, each change below it (hatched: what is unexplained), and the measured value."""
    bottom = waterfall.steps[0].values[defense]
    assert bottom is not None
    labels, at = ["reported"], waterfall.reported[defense]
    axis.barh(0, at, color=TOTAL)
    for label, change in waterfall.changes(defense):
        y = len(labels)
        labels.append(label)
        if change is None:
            _beside(axis, y, at, at, "not measured")
            continue
        left = label == "unexplained"
        color = UNEXPLAINED if left else GAIN if change > 0 else LOSS
        axis.barh(y, change, left=at, color=color, hatch="///" if left else None, edgecolor="#555555")
        _beside(axis, y, min(at, at + change), max(at, at + change), f"{change:+.1f}")
        at += change
    axis.barh(len(labels), bottom, color=TOTAL, xerr=waterfall.draws[defense])
    labels.append("measured")
    axis.set_yticks(range(len(labels)), labels)


def _beside(axis: Axes, y: int, low: float, high: float, text: str) -> None:
    """Writes to the right of a bar, else to its left, and on a bar that leaves no room beside it."""
    if high <= 100 - ROOM:
        axis.text(high + 1, y, text, va="center", ha="left")
    elif low >= ROOM:
        axis.text(low - 1, y, text, va="center", ha="right")
    else:
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text((low + high) / 2, y, text, va="center", ha="center", bbox=white)
