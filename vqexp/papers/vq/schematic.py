"""The papers' schematics, drawn from the code's own patch extraction: journal Figures 2 and 3."""

from itertools import pairwise
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.plot import COLORS, save
from vqexp.defenses import PRD, SwRD
from vqexp.defenses.vq.quantizer import VectorQuantizer

DISJOINT = PRD(s=2, k=4, sigma=4 / 255, tau=4 / 255)
OVERLAPPING = SwRD(s=2, k=4, sigma=4 / 255, tau=4 / 255, beta=5)


def draw_framework(stem: Path) -> list[Path]:
    """Write `STEM.pdf` and `STEM.png`: what stands between an image and its label, on a digit."""
    canvas = _canvas()
    _framework(canvas)
    return save(canvas, stem)


def draw_patches(stem: Path) -> list[Path]:
    """Write `STEM.pdf` and `STEM.png`: the two ways to cut an image into patches, on a digit."""
    canvas = _canvas()
    _patches(canvas)
    return save(canvas, stem)


def patch_corners(quantizer: VectorQuantizer, size: int) -> list[tuple[int, int]]:
    """(row, column) of the upper left pixel of each patch that `quantizer` cuts from size x size pixels."""
    positions = torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    first = quantizer.patches(positions)[0, :, 0].long().tolist()
    return [divmod(position, size) for position in first]


def _canvas() -> plt.Figure:
    return plt.figure(figsize=(9, 3.2), layout="constrained")


def _digit() -> Tensor:
    """A real image, (1, 1, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits  # slow to import

    return torch.from_numpy(load_digits().images[0]).float().div(16).reshape(1, 1, 8, 8)


def _patches(canvas: plt.Figure) -> None:
    image = _digit()
    for axis, quantizer in zip(canvas.subplots(1, 2), (DISJOINT, OVERLAPPING), strict=True):
        corners = patch_corners(quantizer, image.shape[-1])
        _show(
            axis,
            image,
            f"{type(quantizer).__name__}: {len(corners)} patches of {quantizer.s} x {quantizer.s}",
        )
        for row, column in corners:
            edge = (column - 0.5, row - 0.5)
            axis.add_patch(Rectangle(edge, quantizer.s, quantizer.s, fill=False, edgecolor="#999999", lw=0.6))
        # the first two, side by side or overlapping
        for (row, column), color, line in zip(corners[:2], COLORS[1:], ("-", "--"), strict=False):
            edge = (column - 0.5, row - 0.5)
            axis.add_patch(
                Rectangle(edge, quantizer.s, quantizer.s, fill=False, edgecolor=color, lw=3, linestyle=line)
            )


def _framework(canvas: plt.Figure) -> None:
    image, quantizer = _digit(), OVERLAPPING
    draw = Draw("report", 0, torch.tensor([0]))
    quantized = quantizer(image, draw)
    axes = canvas.subplots(1, 5, width_ratios=(1, 1.1, 1, 1.1, 0.8))
    _show(axes[0], image, "X")
    _box(
        axes[1], f"quantizer\n{type(quantizer).__name__}\n\nC: {quantizer.k} reproduction\npoints of X itself"
    )
    _show(axes[2], quantized, "quantized X")
    _box(axes[3], "classifier\nf")
    _box(axes[4], "Y")
    for left, right in pairwise(axes):
        right.annotate(
            "",
            xy=(0, 0.5),
            xytext=(1, 0.5),
            xycoords=right.transAxes,
            textcoords=left.transAxes,
            arrowprops={"arrowstyle": "->", "lw": 1.5},
        )


def _show(axis: Axes, image: Tensor, title: str) -> None:
    axis.imshow(image[0, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)


def _box(axis: Axes, text: str) -> None:
    axis.add_patch(Rectangle((0.05, 0.2), 0.9, 0.6, fill=False, transform=axis.transAxes))
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, fontsize=9)
    axis.axis("off")
