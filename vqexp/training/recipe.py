"""The recipe: epochs, batches, augmentation, optimizer, learning rates, number formats."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from vqexp.core.errors import ConfigError, check_number, one_line, one_of, require
from vqexp.training.augment import AUGMENTS
from vqexp.training.stepper import Stepper

# what a schedule's arguments may say for numbers that are known when the training starts
STEPS: Any = "steps"
LR: Any = "lr"
# short names of usual choices; any other is a `_target_`
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": partial(optim.SGD, momentum=0.9, nesterov=True),
    "adam": optim.Adam,
}
SCHEDULES: dict[str, Callable[..., Any]] = {
    "constant": partial(lr_scheduler.ConstantLR, factor=1.0, total_iters=0),
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=STEPS),
    "one_cycle": partial(lr_scheduler.OneCycleLR, max_lr=LR, total_steps=STEPS, cycle_momentum=False),
}
COUNT = re.compile(r"(?:([\d.]+) *\* *)?(steps|batches)")
SWITCH = (True, False, "auto")


@dataclass(kw_only=True)
class Recipe:
    """Settings out of range raise `ConfigError`.

    optimizer: a name out of `OPTIMIZERS`, or what makes one of (parameter groups, lr=, weight_decay=), such
    as `functools.partial(torch.optim.SGD, momentum=0.8)`; in a config
    `{_target_: torch.optim.SGD, momentum: 0.8}`.
    schedule: a name out of `SCHEDULES`, or likewise what makes one of an optimizer. It moves on after every
    step, not every epoch. Its arguments may say `steps` for the number of steps of the training, `batches`
    for that of an epoch, a multiple of them such as `60*batches`, and `lr` for the peak.
    amp (mixed precision: float16 on a GPU, bfloat16 on a CPU) and channels_last (memory format) are true,
    false, or `auto`: on a GPU only.
    """

    epochs: int
    lr: float
    batch_size: int = 128
    weight_decay: float = 5e-4
    optimizer: str | Callable[..., Any] = "sgd"
    schedule: str | Callable[..., Any] = "cosine"
    augment: str = "none"
    amp: bool | str = False
    channels_last: bool | str = "auto"

    def __post_init__(self) -> None:
        check_number("training.epochs", self.epochs, low=1, integer=True)
        check_number("training.batch_size", self.batch_size, low=1, integer=True)
        check_number("training.lr", self.lr, above=0, high=10)
        check_number("training.weight_decay", self.weight_decay, low=0, high=1)
        one_of("training.augment", self.augment, AUGMENTS)
        one_of("training.amp", self.amp, SWITCH)
        one_of("training.channels_last", self.channels_last, SWITCH)
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if not callable(value):
                one_of(f"training.{name}", value, (*known, "{_target_: torch.optim...}"))
        keywords = getattr(self.optimizer, "keywords", {})
        for name in ("lr", "weight_decay"):
            require(name not in keywords, f"training.optimizer.{name} is set; set training.{name} instead")
        if callable(self.optimizer) or callable(self.schedule):
            self._rehearse()

    def stepper(self, groups: Iterable[dict[str, Any]], batches: int, device: torch.device) -> Stepper:
        """What makes the steps, `batches` an epoch, over parameter groups as torch's optimizers take them."""
        optimizer = self._optimizer(groups)
        scale = device.type == "cuda" and is_on(self.amp, device)
        return Stepper(optimizer, self._schedule(optimizer, batches), scale)

    def _optimizer(self, groups: Iterable[dict[str, Any]]) -> optim.Optimizer:
        make = self.optimizer if callable(self.optimizer) else OPTIMIZERS[self.optimizer]
        return make(list(groups), lr=self.lr, weight_decay=self.weight_decay)

    def _schedule(self, optimizer: optim.Optimizer, batches: int) -> lr_scheduler.LRScheduler:
        make = self.schedule if callable(self.schedule) else SCHEDULES[self.schedule]
        known = {"steps": self.epochs * batches, "batches": batches}
        counted = {name: self._counted(value, known) for name, value in getattr(make, "keywords", {}).items()}
        return make(optimizer, **counted)

    def _counted(self, value: Any, known: dict[str, int]) -> Any:
        """`value` with `lr`, `steps`, `batches` and their multiples replaced by the number."""
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._counted(entry, known) for entry in value]
        if value == LR:
            return self.lr
        found = COUNT.fullmatch(value) if isinstance(value, str) else None
        return max(1, round(float(found[1] or 1) * known[found[2]])) if found else value

    def _rehearse(self) -> None:
        """Raises `ConfigError` if the optimizer or the schedule does not take its arguments."""
        part = "optimizer"
        try:
            optimizer = self._optimizer([{"params": [nn.Parameter(torch.zeros(1))]}])
            part = "schedule"
            schedule = self._schedule(optimizer, batches=10)
            part = "optimizer"
            optimizer.step()
            part = "schedule"
            schedule.step()
        except Exception as error:  # the user's own code raises what it will
            raise ConfigError(f"training.{part}: {one_line(error)}") from None


def is_on(setting: bool | str, device: torch.device) -> bool:
    """Whether a setting out of `SWITCH` is on for the device."""
    return device.type == "cuda" if setting == "auto" else bool(setting)
