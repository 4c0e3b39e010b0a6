"""Standard training: cross-entropy on the images as they are."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.errors import check_number
from vqexp.training.objectives.base import Objective
from vqexp.training.step import Batch, Step


@dataclass(kw_only=True)
class CrossEntropy(Objective):
    """label_smoothing: in [0, 1), the weight of the uniform distribution in the target."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number("training.objective.label_smoothing", self.label_smoothing, low=0, below=1)

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """Cross-entropy and logits on the batch."""
        logits = model(batch.images)
        return F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing), logits
