"""Optimizer, learning-rate schedule and gradient scaler as one object that makes one step a batch."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler

if TYPE_CHECKING:
    from vqexp.training.standard import Standard

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "cosine", "step", "one_cycle")


class Stepper:
    """Minimizes a loss over the parameters of `classifier` in `epochs` x `batches` steps.

    The learning rate is constant; or falls from `lr` to 0 (`cosine`); or is multiplied by `gamma` after each
    of the epochs in `milestones` (`step`); or rises to `lr` over the first 30 % of the steps and falls to
    almost 0 (`one_cycle`). With `scale`, for float16 on a GPU, a step whose gradient overflows is left out.
    """

    def __init__(self, settings: "Standard", classifier: nn.Module, batches: int, scale: bool) -> None:
        self._optimizer = _optimizer(settings, classifier)
        self._parts: dict[str, Any] = {
            "optimizer": self._optimizer,
            "schedule": _schedule(settings, self._optimizer, batches),
            "scaler": torch.amp.GradScaler(enabled=scale),
        }

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`, a scalar."""
        scaler = self._parts["scaler"]
        self._optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(self._optimizer)
        scaler.update()
        self._parts["schedule"].step()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


def _optimizer(settings: "Standard", classifier: nn.Module) -> optim.Optimizer:
    parameters, lr, decay = classifier.parameters(), settings.lr, settings.weight_decay
    if settings.optimizer == "adam":
        return optim.Adam(parameters, lr, weight_decay=decay)
    return optim.SGD(parameters, lr, settings.momentum, weight_decay=decay, nesterov=settings.nesterov)


def _schedule(settings: "Standard", optimizer: optim.Optimizer, batches: int) -> lr_scheduler.LRScheduler:
    steps = settings.epochs * batches
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, steps)
    if settings.schedule == "step":
        milestones = [epoch * batches for epoch in settings.milestones]
        return lr_scheduler.MultiStepLR(optimizer, milestones, settings.gamma)
    if settings.schedule == "one_cycle":
        return lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps, cycle_momentum=False)
    return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
