"""What the quantizers make of adversarial images, side by side."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from vqexp.config import CONF, build, resolved
from vqexp.defenses import Draw
from vqexp.pipeline import prepare
from vqexp.pipeline.stages import Stages

COLUMNS = 10


@torch.no_grad()
def draw_pictures(config: DictConfig, path: Path) -> None:
    """A PNG: clean, adversarial, and quantized adversarial images, each with f's verdict as its frame.

    config: a run whose attack does not know the defense; the quantizers take the dataset's settings.
    """
    stages = Stages(prepare(config))
    n = min(COLUMNS, len(stages.images))
    ids, labels = stages.images.ids[:n], stages.images.labels[:n]
    clean = stages.images.pixels(slice(0, n))
    assert len(stages.adversarial) > 0
    attacked = torch.cat([stages.adversarial_images(index) for index in range(len(stages.chunks))])[:n]
    rows: dict[str, Tensor] = {"clean": clean, "adversarial": attacked}
    plain = resolved(config)
    for name in ("randdisc", "prd", "swrd"):
        node = OmegaConf.create({**plain, "defense": OmegaConf.load(CONF / "defense" / f"{name}.yaml")})
        quantizer = build("defense", resolved(node)["defense"])
        rows[f"{type(quantizer).__name__} of adversarial"] = quantizer(attacked, Draw("report", 0, ids))
    figure, axes = plt.subplots(len(rows), n, figsize=(n, len(rows) * 1.15), squeeze=False)
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        logits = stages.classifier(images.to(stages.experiment.device)).cpu()
        for axis, image, correct in zip(line, images, logits.argmax(1) == labels, strict=True):
            shown = image.permute(1, 2, 0).clamp(0, 1)
            axis.imshow(shown.squeeze(-1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            # solid and blue: f is right; dotted and orange: wrong; told apart in grey as well
            for spine in axis.spines.values():
                spine.set(color="#0072b2" if correct else "#d55e00", linewidth=2.5)
                spine.set_linestyle("-" if correct else ":")
        line[0].set_ylabel(title.replace(" of ", "\nof "), fontsize=7)
    figure.tight_layout(pad=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
