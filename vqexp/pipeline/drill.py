"""What a training asks of f, counted: a few of its steps, on a classifier that costs next to nothing."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from vqexp.data import Images
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.stopwatch import clock
from vqexp.training import Descent

STEPS, BATCH = 3, 32  # at most so many images at once


class Pupil(nn.Module):
    """A classifier with one weight; counts the images of its passes by what they are for.

    `forward`: neither gradient; `gradient`: that of the images; `weights`: its own.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(1e-3 * torch.arange(float(classes)))
        self.asked: Counter[str] = Counter()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        followed = "gradient" if images.requires_grad else "weights"
        self.asked[followed if torch.is_grad_enabled() else "forward"] += len(images)
        return images.flatten(1).mean(1, keepdim=True) * self.weight


def drill(experiment: Experiment, training: Descent, defense: nn.Module) -> tuple[float, Counter[str]]:
    """Of a step of the training, an image: seconds of its own, and what it asks for (`Pupil`)."""
    count, ends = min(training.batch_size, BATCH), list[float]()
    pupil = Pupil(experiment.dataset.num_classes).to(experiment.device)
    brief = replace(training, epochs=1, batch_size=count, selection="last", start=None)

    def end(*_: object) -> None:
        if experiment.device.type == "cuda":
            torch.cuda.synchronize()
        ends.append(clock())

    hook = register_optimizer_step_post_hook(end)
    try:
        images = experiment.dataset.load("train", count)
        rows = torch.arange(count * STEPS) % len(images)
        some = Images(images.pixels(rows), images.labels[rows], images.ids[rows])
        brief.behind(defense).fit(pupil, some, seed=experiment.seed, device=experiment.device)
    finally:
        hook.remove()
    seconds = min(after - before for before, after in pairwise(ends))
    return seconds / count, Counter({name: asked / (count * STEPS) for name, asked in pupil.asked.items()})
