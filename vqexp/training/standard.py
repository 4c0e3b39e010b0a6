"""Standard training: cross-entropy on clean images. Other trainings override its `loss`."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vqexp.core.errors import WorkError, one_of, require
from vqexp.core.progress import Bar, stage
from vqexp.loggers import Logger
from vqexp.training.augment import AUGMENTS, augment
from vqexp.training.state import StateFile
from vqexp.training.stepper import OPTIMIZERS, SCHEDULES, Stepper

if TYPE_CHECKING:
    from vqexp.data import Images

# settings that tell a saved state from another training's
PLAIN = (bool, int, float, str, tuple, type(None), nn.Module)


@dataclass(kw_only=True)
class Standard:
    """The training of the papers' base classifiers; settings out of range raise `ConfigError`.

    `lr` is the peak where the schedule is `one_cycle`; `milestones` (epochs) and `gamma` belong to the
    schedule `step`. `amp` (mixed precision: float16 on a GPU, bfloat16 on a CPU) and `channels_last` (memory
    format) are true, false, or `auto`: on a GPU only.

    A subclass is a dataclass(kw_only=True) too: it adds fields, checks them in `__post_init__` after
    `super().__post_init__()`, and overrides `loss`.
    """

    uses_defense: ClassVar[bool] = False  # then the defense determines f, and is part of its key

    epochs: int
    lr: float
    batch_size: int = 128
    weight_decay: float = 5e-4
    momentum: float = 0.9
    nesterov: bool = True
    optimizer: str = "sgd"
    schedule: str = "cosine"
    milestones: Sequence[int] = (60, 120, 160)
    gamma: float = 0.2
    augment: str = "none"
    label_smoothing: float = 0.0
    amp: bool | str = False
    channels_last: bool | str = "auto"

    def __post_init__(self) -> None:
        def check(name: str, allowed: str, valid: bool) -> None:
            require(valid, f"training.{name} is {getattr(self, name)!r}; it must be {allowed}")

        check("epochs", "an integer >= 1", _is_count(self.epochs))
        check("batch_size", "an integer >= 1", _is_count(self.batch_size))
        check("lr", "a number > 0 and <= 10", _is_number(self.lr) and 0 < self.lr <= 10)
        check("gamma", "in (0, 1]", _is_number(self.gamma) and 0 < self.gamma <= 1)
        check("weight_decay", "in [0, 1]", _is_number(self.weight_decay) and 0 <= self.weight_decay <= 1)
        check("momentum", "in [0, 1)", _is_number(self.momentum) and 0 <= self.momentum < 1)
        smoothing = self.label_smoothing
        check("label_smoothing", "in [0, 1)", _is_number(smoothing) and 0 <= smoothing < 1)
        is_list = isinstance(self.milestones, Sequence)
        check("milestones", "a list of epochs >= 1", is_list and all(map(_is_count, self.milestones)))
        self.milestones = tuple(self.milestones)
        check("nesterov", "true or false", isinstance(self.nesterov, bool))
        needs_momentum = self.optimizer == "sgd" and self.nesterov
        check("nesterov", "false where momentum is 0", self.momentum > 0 or not needs_momentum)
        one_of("training.optimizer", self.optimizer, OPTIMIZERS)
        one_of("training.schedule", self.schedule, SCHEDULES)
        one_of("training.augment", self.augment, AUGMENTS)
        one_of("training.amp", self.amp, (True, False, "auto"))
        one_of("training.channels_last", self.channels_last, (True, False, "auto"))

    @property
    def files(self) -> Mapping[str, Path]:
        """Settings that name files, whose contents determine f; here none."""
        return {}

    def behind(self, defense: nn.Module) -> Self:
        """The same training of an f that stands behind `defense`: here itself.

        Raises `ConfigError` if the two do not go together.
        """
        return self

    def initialize(self, classifier: nn.Module) -> None:
        """Set the parameters that `fit` starts from; here they stay the caller's.

        Raises `ConfigError` if they cannot be had.
        """

    def loss(
        self, classifier: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """The step that other trainings override: the loss to minimize, and the logits (N, num_classes).

        Gets a batch of augmented images (N, C, H, W) in [0, 1], their labels and dataset rows (N,), all on
        the device, the classifier in training mode (leave it so), and the epoch, from 0. Torch's global
        generators have been seeded by (seed, epoch), so a step may draw from them. With `amp` it runs under
        autocast and the loss is scaled afterwards; gradients that a step itself takes are not, and small ones
        vanish in float16 unless it leaves autocast.
        """
        logits = classifier(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logits

    def fit(
        self,
        classifier: nn.Module,
        train: "Images",
        *,
        seed: int,
        device: torch.device,
        state_path: Path | None = None,
        logger: Logger | None = None,
    ) -> dict[str, Any]:
        """Train `classifier` in place on `device` and leave it in evaluation mode.

        All randomness derives from (`seed` >= 0, epoch); the initial parameters are what `initialize` makes
        of the caller's. With `state_path`, everything is kept there after each epoch and a killed training
        resumes from it, with the same result; at the end the file is removed. Returns `epochs`, `seconds`
        (those before a kill included), and the last epoch's `train_loss` and `train_accuracy`, a fraction of
        the augmented images.
        Raises `WorkError` if the loss is not finite any more, or the state cannot be written.
        """
        self.initialize(classifier)
        classifier.to(device)
        if _is_on(self.channels_last, device):
            classifier.to(memory_format=torch.channels_last)
        batches = math.ceil(len(train) / self.batch_size)
        stepper = Stepper(self, classifier, batches, device.type == "cuda" and _is_on(self.amp, device))
        shapes = {name: list(value.shape) for name, value in classifier.state_dict().items()}
        plain = {name: value for name, value in vars(self).items() if isinstance(value, PLAIN)}
        fingerprint = {"settings": str(plain), "seed": seed, "images": len(train), "shapes": shapes}
        file = StateFile(state_path, fingerprint)
        result: dict[str, Any] = {"epochs": 0, "seconds": 0.0}
        if state := file.read():
            result = state["result"]
            classifier.load_state_dict(state["classifier"])
            stepper.load_state_dict(state["stepper"])
        before = time.monotonic() - result["seconds"]
        with stage("training", self.epochs * batches) as bar:
            bar.advance(result["epochs"] * batches)
            for epoch in range(result["epochs"], self.epochs):
                with _seeded(seed, epoch, device) as generator:
                    figures = self._fit_epoch(classifier, train, epoch, stepper, generator, device, bar)
                result = {"epochs": epoch + 1, **figures, "seconds": time.monotonic() - before}
                parts = {"classifier": classifier.state_dict(), "stepper": stepper.state_dict()}
                file.write({"result": result, **parts})
                if logger:
                    logger.log(figures, step=epoch + 1)
        file.remove()
        classifier.eval()
        return result

    def _fit_epoch(
        self,
        classifier: nn.Module,
        train: "Images",
        epoch: int,
        stepper: Stepper,
        generator: Generator,
        device: torch.device,
        bar: Bar,
    ) -> dict[str, float]:
        """One pass over `train` in batches of (almost) equal size; the running loss and accuracy over it."""
        classifier.train()
        batches = math.ceil(len(train) / self.batch_size)
        totals = torch.zeros(2, device=device)  # summed loss, right answers: read rarely, as a GPU would wait
        seen = shown = 0
        figures: dict[str, float] = {}
        order = torch.randperm(len(train), generator=generator)
        for number, rows in enumerate(order.tensor_split(batches), 1):
            images = augment(self.augment, train.pixels(rows).to(device), generator)
            labels, ids = train.labels[rows].to(device), train.ids[rows].to(device)
            with torch.autocast(device.type, enabled=_is_on(self.amp, device)):
                loss, logits = self.loss(classifier, images, labels, ids, epoch)
            stepper.step(loss)
            right = (logits.detach().argmax(1) == labels).sum()
            totals += torch.stack([loss.detach() * len(rows), right])
            seen += len(rows)
            if number % 20 == 0 or number == batches:
                train_loss, train_accuracy = (totals / seen).tolist()
                figures = {"train_loss": train_loss, "train_accuracy": train_accuracy}
                bar.advance(number - shown, epoch=epoch + 1, **figures)
                shown = number
                if not math.isfinite(train_loss):
                    raise WorkError(
                        f"training diverged in epoch {epoch + 1}: the loss is {train_loss}; lower training.lr"
                    )
        return figures


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[Generator]:
    """A CPU generator for order and augmentation, and torch's global ones seeded apart from it meanwhile."""
    own, common = np.random.SeedSequence((seed, epoch)).generate_state(2, np.uint64).tolist()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(common)
        yield torch.Generator().manual_seed(own)


def _is_on(setting: bool | str, device: torch.device) -> bool:
    return device.type == "cuda" if setting == "auto" else bool(setting)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
