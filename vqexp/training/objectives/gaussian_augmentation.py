"""Training on noisy images alone (Lecuyer et al. 2018; Cohen et al. 2019)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.training.objectives.noisy import Noisy
from vqexp.training.step import Batch, Step


@dataclass(kw_only=True)
class GaussianAugmentation(Noisy):
    """Cross-entropy of f(x + noise)."""

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """Cross-entropy and logits on the noisy images."""
        logits = model(self.noisy(batch, step))
        return F.cross_entropy(logits, batch.labels), logits
