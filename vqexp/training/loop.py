"""The loop: epochs of steps down an objective's loss, kept on disk so that a killed training resumes."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from vqexp.core.errors import WorkError
from vqexp.core.progress import Bar, progress_bar
from vqexp.core.random_module import bound, random_modules
from vqexp.loggers import Logger
from vqexp.training.augment import augment
from vqexp.training.objectives import Objective
from vqexp.training.recipe import Recipe, is_on
from vqexp.training.selection import Selection
from vqexp.training.state import StateFile
from vqexp.training.step import Batch, Step

if TYPE_CHECKING:
    from vqexp.data import Images


def fit(
    model: nn.Module,
    train: "Images",
    objective: Objective,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    selection: Selection | None = None,
    state_path: Path | None = None,
    settings: str = "",
    logger: Logger | None = None,
) -> dict[str, Any]:
    """Trains `model` in place on `device` and leaves it in evaluation mode.

    All randomness derives from (seed, epoch). selection: keeps the best epoch instead of the last. With
    `state_path` everything is kept there after each epoch, and a killed training resumes from it, with the
    same result, if its `settings` are the same; at the end the file is removed.
    Returns `epochs`, `seconds` (those before a kill included), the last epoch's `train_loss` and
    `train_accuracy` (a fraction of the images as the objective shows them to f), and `kept_epoch`, from 1.
    Raises `WorkError` if the loss is not finite any more, or the state cannot be written.
    """
    model.to(device)
    if is_on(recipe.channels_last, device):
        model.to(memory_format=torch.channels_last)
    batches = math.ceil(len(train) / recipe.batch_size)
    stepper = recipe.stepper(objective.parameter_groups(model), batches, device)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    known = {"settings": settings, "seed": seed, "images": len(train), "shapes": shapes}
    file = StateFile(state_path, known)
    result: dict[str, Any] = {"epochs": 0, "seconds": 0.0}
    if state := file.read():
        result = state["result"]
        model.load_state_dict(state["classifier"])
        stepper.load_state_dict(state["stepper"])
        if selection:
            selection.best = state["best"]
    before = time.monotonic() - result["seconds"]
    train = train.on(device)
    with progress_bar("training", recipe.epochs * batches) as bar:
        bar.skip(result["epochs"] * batches)
        for epoch in range(result["epochs"], recipe.epochs):
            model.train()
            running = _Running(epoch, batches, bar, device)
            with _seeded(seed, epoch, device) as generator:
                # batches of (almost) equal size
                order = torch.randperm(len(train), generator=generator).tensor_split(batches)
                for number, rows in enumerate(order):
                    images = augment(recipe.augment, train.pixels(rows).to(device), generator)
                    batch = Batch(images, train.labels[rows].to(device), train.ids[rows].to(device))
                    step = Step(epoch, epoch * batches + number)
                    precision = torch.autocast(device.type, enabled=is_on(recipe.amp, device))
                    with precision, bound(model, step.draw(batch.ids)):
                        loss, logits = objective.loss(model, batch, step)
                    stepper.step(loss)
                    objective.after_step(model)
                    for layer in random_modules(model):
                        layer.constrain()
                    running.add(loss.detach(), logits.detach(), batch.labels)
                figures = running.figures
                if selection:
                    figures |= selection.judge(model, epoch)
            result = {"epochs": epoch + 1, **figures, "seconds": time.monotonic() - before}
            parts = {"classifier": model.state_dict(), "stepper": stepper.state_dict()}
            file.write({"result": result, "best": selection and selection.best, **parts})
            if logger:
                logger.log(figures, step=epoch + 1)
    kept = selection.restore(model) if selection else recipe.epochs
    file.remove()
    model.eval()
    return {**result, "kept_epoch": kept}


class _Running:
    """The running loss and accuracy over an epoch, read every 20 steps, as a GPU would wait for it."""

    def __init__(self, epoch: int, batches: int, bar: Bar, device: torch.device) -> None:
        self.figures: dict[str, float] = {}
        self._epoch, self._batches, self._bar = epoch + 1, batches, bar
        self._totals = torch.zeros(2, device=device)  # summed loss, right answers
        self._seen = self._number = self._shown = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Takes a step. Raises `WorkError` if the loss is not finite any more."""
        right = (logits.argmax(1) == labels).sum()
        self._totals += torch.stack([loss * len(labels), right])
        self._seen += len(labels)
        self._number += 1
        if self._number % 20 and self._number < self._batches:
            return
        train_loss, train_accuracy = (self._totals / self._seen).tolist()
        self.figures = {"train_loss": train_loss, "train_accuracy": train_accuracy}
        self._bar.advance(self._number - self._shown, epoch=self._epoch, **self.figures)
        self._shown = self._number
        if not math.isfinite(train_loss):
            raise WorkError(
                f"training diverged in epoch {self._epoch}: the loss is {train_loss}; lower training.lr"
            )


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[Generator]:
    """A CPU generator for order and augmentation, and torch's global ones seeded apart from it meanwhile."""
    own, common = np.random.SeedSequence((seed, epoch)).generate_state(2, np.uint64).tolist()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(common)
        yield torch.Generator().manual_seed(own)
