"""Stability training (Zheng et al. 2016), as Li et al. (NeurIPS 2019), section 5.1, use it."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.errors import check_number, one_of
from vqexp.training.objectives.noisy import Noisy
from vqexp.training.step import Batch, Step

TARGETS = ("softmax", "logits")


@dataclass(kw_only=True)
class Stability(Noisy):
    """CE(f(x), y) + gamma D(f(x), f(x + noise)), D(p, q) = -sum_j P_j(p) log softmax_j(q).

    gamma: >= 0. target: P is the `softmax` of f(x), as the paper says; or its raw `logits`, as the released
    code has it, which is no cross-entropy. Gradients flow through both sides, as in the released code.
    """

    gamma: float = 1.0
    target: str = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("training.objective.gamma", self.gamma, low=0)
        one_of("training.objective.target", self.target, TARGETS)

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """The loss, and the logits on the clean images."""
        clean, noisy = model(batch.images), model(self.noisy(batch, step))
        target = clean.softmax(1) if self.target == "softmax" else clean
        stability = -(target * noisy.log_softmax(1)).sum(1).mean()
        return F.cross_entropy(clean, batch.labels) + self.gamma * stability, clean
