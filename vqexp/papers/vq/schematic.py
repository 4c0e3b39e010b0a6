"""The papers' schematics, drawn from the code's own patches, centers and images: journal Figures 2 and 3."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.plot import COLORS, save
from vqexp.core.text import PAPERS_NAMES
from vqexp.defenses import PRD, SwRD
from vqexp.defenses.vq.quantizer import VectorQuantizer

DISJOINT = PRD(s=2, k=4, sigma=4 / 255, tau=4 / 255)
OVERLAPPING = SwRD(s=2, k=4, sigma=4 / 255, tau=4 / 255, beta=5)
DIGIT = 0  # of scikit-learn's: its row, and what it shows
GREY = "#999999"
SHOWN = {"PRD": [(2, 2), (2, 4)], "SwRD": [(2, 1), (2, 2)]}  # corners of two neighbors, on the digit's stroke


def draw_framework(stem: Path) -> list[Path]:
    """Write `STEM.pdf` and `STEM.png`: what stands between an image and its label, on a digit."""
    canvas, axis = _canvas(7.2, 2.1)
    image, quantizer = _digit(), OVERLAPPING
    draw = Draw("report", 0, torch.tensor([DIGIT]))
    _image(axis, image[0, 0], 0.1, 0.45, 1.1, "image X")
    _box(
        axis,
        1.65,
        0.3,
        1.5,
        f"quantizer {_name(quantizer)}",
        f"{quantizer.k} centers, means of\nX's own patches",
    )
    for number, center in enumerate(quantizer.codebooks(image, draw)[0]):
        _image(axis, center.view(2, 2), 1.82 + 0.31 * number, 0.98, 0.23)
    _arrow(axis, (2.4, 1.98), (2.4, 1.72))
    axis.text(2.47, 1.88, "random draw", ha="left", va="center")
    _image(axis, quantizer(image, draw)[0, 0], 3.6, 0.45, 1.1, "quantized X")
    _box(axis, 5.15, 0.3, 0.95, "classifier f", "layers")
    _layers(axis, 5.33)
    label = torch.tensor([[float(number == DIGIT)] for number in range(10)])
    _image(axis, label, 6.6, 0.3, 1.4, "label Y", width=0.14)
    for number in range(10):
        axis.text(6.82, 0.3 + 1.4 * (9.5 - number) / 10, str(number), va="center", ha="left")
    for left, right in ((1.25, 1.6), (3.2, 3.55), (4.75, 5.1), (6.15, 6.5)):
        _arrow(axis, (left, 1.0), (right, 1.0))
    return save(canvas, stem)


def draw_patches(stem: Path) -> list[Path]:
    """Write `STEM.pdf` and `STEM.png`: the two ways to cut an image into patches, on a digit."""
    (canvas, axis), image = _canvas(7.2, 2.5), _digit()
    for left, quantizer in ((0.1, DISJOINT), (3.8, OVERLAPPING)):
        corners = patch_corners(quantizer, image.shape[-1])
        how = "side by side" if quantizer is DISJOINT else "overlapping, one at every pixel"
        axis.text(left, 2.32, f"{_name(quantizer)}: {len(corners)} patches, {how}", va="center")
        _image(axis, image[0, 0], left, 0.2, 1.9)
        pixel, s = 1.9 / image.shape[-1], quantizer.s
        for row, column in corners:
            _frame(axis, left + pixel * column, 2.1 - pixel * (row + s), s * pixel, GREY, 0.5)
        patches = quantizer.patches(image)[0]
        for number, corner in enumerate(SHOWN[type(quantizer).__name__]):
            color, line = COLORS[1 + number], ("-", "--")[number]
            (row, column), down = corner, (1.3, 0.3)[number]
            _frame(axis, left + pixel * column, 2.1 - pixel * (row + s), s * pixel, color, 2.2, line)
            patch = patches[corners.index(corner)].view(s, s)
            _image(axis, patch, left + 2.6, down, 0.7)
            _frame(axis, left + 2.6, down, 0.7, color, 2.2, line)
            start = (left + pixel * (column + s), 2.1 - pixel * (row + s / 2))
            _arrow(axis, start, (left + 2.55, down + 0.35), color)
    return save(canvas, stem)


def patch_corners(quantizer: VectorQuantizer, size: int) -> list[tuple[int, int]]:
    """(row, column) of the upper left pixel of each patch that `quantizer` cuts from size x size pixels."""
    positions = torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    first = quantizer.patches(positions)[0, :, 0].long().tolist()
    return [divmod(position, size) for position in first]


def _name(quantizer: VectorQuantizer) -> str:
    return PAPERS_NAMES[type(quantizer).__name__]


def _digit() -> Tensor:
    """A real image, (1, 1, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits  # slow to import

    return torch.from_numpy(load_digits().images[DIGIT]).float().div(16).reshape(1, 1, 8, 8)


def _canvas(width: float, height: float) -> tuple[plt.Figure, Axes]:
    """An empty canvas with axes whose coordinates are inches, from the lower left corner."""
    canvas = plt.figure(figsize=(width, height))
    axis = canvas.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return canvas, axis


def _image(
    axis: Axes, pixels: Tensor, left: float, low: float, height: float, title: str = "", width: float = 0
) -> None:
    """Pixels (H, W) in [0, 1], framed; a square if `width` is not given."""
    right, high = left + (width or height), low + height
    inside = axis.get_xlim(), axis.get_ylim()
    place: dict[str, Any] = {"extent": (left, right, low, high), "aspect": "auto", "interpolation": "nearest"}
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=1, **place)
    axis.set(xlim=inside[0], ylim=inside[1])
    axis.add_patch(Rectangle((left, low), right - left, height, fill=False, ec="black", lw=0.6))
    axis.text((left + right) / 2, low - 0.13, title, ha="center", va="center")


def _box(axis: Axes, left: float, low: float, width: float, title: str, text: str) -> None:
    axis.add_patch(Rectangle((left, low), width, 1.4, fill=False, ec="black", lw=1))
    axis.text(left + width / 2, 1.52, title, ha="center", va="center")
    axis.text(left + width / 2, low + 0.28, text, ha="center", va="center")


def _layers(axis: Axes, left: float) -> None:
    """Three layers of units, each joined to all of the next."""
    columns: Sequence[list[tuple[float, float]]] = [
        [(left + 0.3 * layer, 1.05 + 0.16 * (unit - (count - 1) / 2)) for unit in range(count)]
        for layer, count in enumerate((4, 5, 3))
    ]
    for ones, others in pairwise(columns):
        for x, y in ones:
            for right, high in others:
                axis.plot([x, right], [y, high], color=GREY, lw=0.4, zorder=1)
    for x, y in (unit for units in columns for unit in units):
        axis.add_patch(Circle((x, y), 0.05, fc="white", ec="black", lw=0.8, zorder=2))


def _frame(
    axis: Axes, left: float, low: float, size: float, color: str, width: float, line: str = "-"
) -> None:
    axis.add_patch(Rectangle((left, low), size, size, fill=False, ec=color, lw=width, ls=line, zorder=3))


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], color: str = "black") -> None:
    style = {"arrowstyle": "-|>", "color": color, "lw": 1.4, "mutation_scale": 12, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", xy=end, xytext=start, arrowprops=style, zorder=4)
