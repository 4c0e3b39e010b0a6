"""Optimizer, learning-rate schedule and gradient scaler as one object that makes one step a batch."""

from typing import Any

import torch
from torch import Tensor, optim
from torch.optim.lr_scheduler import LRScheduler


class Stepper:
    """Minimizes a loss. With `scale`, for float16 on a GPU, a step whose gradient overflows is left out."""

    def __init__(self, optimizer: optim.Optimizer, schedule: LRScheduler, scale: bool) -> None:
        self._optimizer = optimizer
        scaler = torch.amp.GradScaler(enabled=scale)
        self._parts: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler}

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
