"""Drawing what the quantizers make of adversarial images, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from vqexp.core.atomic import atomically
from vqexp.core.components import build
from vqexp.core.config import CONF, resolved
from vqexp.core.draws import Draw
from vqexp.core.plot import DPI, save
from vqexp.core.text import defense_name
from vqexp.pipeline import prepare
from vqexp.pipeline.record import Record
from vqexp.pipeline.stages import Stages
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.figure import Figure

COLUMNS = 10
RIGHT, WRONG = "#0072b2", "#d55e00"  # frames: solid and blue, dotted and orange, told apart in grey as well


def draw_pictures(config: DictConfig, path: Path) -> None:
    """Draws a PNG of clean, adversarial and quantized images, and of their differences from the clean ones.

    Frames show whether f is right. config: a run whose attack does not know the defense; the quantizers take
    the preset's settings. The images are the data set's first, in the order that its seed fixes.
    """
    stages = Stages(prepare(config))
    rows, ids = _images(stages, COLUMNS)
    plain = resolved(config)
    for name in ("randdisc", "prd", "swrd"):
        node = OmegaConf.create({**plain, "defense": read_settings(CONF / "defense" / f"{name}.yaml")})
        quantizer = build("defense", resolved(node)["defense"])
        told = defense_name(node.defense)
        rows[f"{told} of adversarial"] = _quantized(quantizer, rows["adversarial"], ids)
    right = _verdicts(stages, rows)
    most = (rows["adversarial"] - rows["clean"]).abs().max()
    differences, frames = {}, {}
    for name in list(rows)[1:]:
        title = f"difference of {name.removesuffix(' of adversarial')}"
        differences[title] = difference(rows[name], rows["clean"], most)
        frames[title] = right[name]
    canvas = _grid([(rows, right), (differences, frames)])
    canvas.supxlabel("difference from clean: grey is none, black and white are the attack's largest")
    with atomically(path) as temporary:
        canvas.savefig(temporary, format="png", dpi=DPI)
    plt.close(canvas)


def difference(images: Tensor, clean: Tensor, most: Tensor) -> Tensor:
    """Images less the clean ones, for the eye: grey where they are the same, black and white at -+ `most`."""
    return (0.5 + (images - clean) / (2 * most.clamp_min(1e-6))).clamp(0, 1)


def draw_picture_figure(
    figure: Figure,
    cells: Sequence[tuple[Cell, Record]],
    folder: Path,
    note: str = "",
    count: int = 6,
) -> list[Path]:
    """Draws, for each panel, the first `count` images through each series' quantizer; returns the files.

    cells: with their records, one of each panel and series is enough. `figure.shows` says which rows there
    are: clean, adversarial, quantized clean, quantized adversarial. The images come from the records'
    settings and the store; what is not there is computed. `note` is printed at the bottom.
    """
    panels: dict[str, dict[str, Record]] = {}
    for cell, record in cells:
        panels.setdefault(cell.panel, {}).setdefault(cell.series, record)
    blocks = []
    for panel, series in panels.items():
        rows: dict[str, Tensor] = {}
        for name, record in series.items():
            stages = Stages(prepare(OmegaConf.create(record.config)))
            images, ids = _images(stages, count)
            rows |= {f"{panel}: {kind}": batch for kind, batch in images.items() if kind in figure.shows}
            for kind in ("clean", "adversarial"):
                if f"quantized {kind}" in figure.shows:
                    batch = images[kind].to(stages.experiment.device)
                    rows[f"{name} of {kind}"] = _quantized(stages.defense, batch, ids).cpu()
        blocks.append((rows, _verdicts(stages, rows)))
    if not blocks:
        return []
    canvas = _grid(blocks)
    if note:
        canvas.supxlabel(note, color=WRONG)
    return save(canvas, folder / figure.name)


def _images(stages: Stages, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the first images, clean and adversarial, (n, C, H, W) in [0, 1], and their ids."""
    n = min(count, len(stages.images))
    attacked, index = stages.adversarial_images(0), 1
    while len(attacked) < n:
        attacked, index = torch.cat([attacked, stages.adversarial_images(index)]), index + 1
    return {"clean": stages.images.pixels(slice(0, n)), "adversarial": attacked[:n]}, stages.images.ids[:n]


@torch.no_grad()
def _quantized(quantizer: nn.Module, images: Tensor, ids: Tensor) -> Tensor:
    """Returns the images by the first draw of those that judge."""
    found: Tensor = quantizer(images, Draw("report", 0, ids))
    return found


@torch.no_grad()
def _verdicts(stages: Stages, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whether f is right about each image, bool (n,) a row."""
    found = {}
    for name, images in rows.items():
        logits = stages.classifier(images.to(stages.experiment.device)).cpu()
        found[name] = logits.argmax(1) == stages.images.labels[: len(images)]
    return found


def _grid(blocks: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]) -> plt.Figure:
    """Draws blocks of rows (name -> images), with the verdicts as frames, one above the other."""
    lines = [(name, images, right[name]) for rows, right in blocks for name, images in rows.items()]
    n = max(len(images) for _, images, _ in lines)
    size = (1.1 * n + 0.6, 1.15 * len(lines) + 0.4)
    canvas, axes = plt.subplots(len(lines), n, figsize=size, squeeze=False, layout="constrained")
    for line, (title, images, right) in zip(axes, lines, strict=True):
        for axis in line[len(images) :]:
            axis.axis("off")
        for axis, image, correct in zip(line, images, right, strict=False):
            shown = image.permute(1, 2, 0).clamp(0, 1)
            axis.imshow(shown.squeeze(-1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set(color=RIGHT if correct else WRONG, linewidth=2.5)
                spine.set_linestyle("-" if correct else ":")
        line[0].set_ylabel(title.replace(" of ", "\nof ").replace(": ", ":\n"))
    keys = [
        Line2D([], [], color=RIGHT, linestyle="-", linewidth=2.5, label="frame: f is right about the image"),
        Line2D([], [], color=WRONG, linestyle=":", linewidth=2.5, label="frame: f is wrong"),
    ]
    canvas.legend(handles=keys, loc="outside upper center", ncols=2, frameon=False)
    return canvas
