"""PGD towards one class after the other (Gowal et al. 2019, the multi-targeted attack)."""

from typing import Any

import torch
from torch import Tensor

from vqexp.adversaries.view import View
from vqexp.attacks.base import Adversarial
from vqexp.attacks.losses import margin_loss, targeted_margin
from vqexp.attacks.pgd import PGD, best_of
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import check_number
from vqexp.core.progress import stepwise


class TargetedPGD(PGD):
    """PGD on the margin towards each of the classes that come closest on the clean image.

    targets: classes tried, >= 1; of fewer other classes all. The other parameters are those of `PGD` but
    for the loss. On a fixed view the point with the highest margin is returned, on a random one all are
    candidates.
    """

    def __init__(self, *, targets: int, **settings: Any) -> None:
        super().__init__(loss="margin", **settings)
        check_number("attack.targets", targets, low=1, integer=True)
        self.targets = targets

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The best end point, or all of them."""
        with torch.no_grad():
            others = view(images).scatter(1, labels.unsqueeze(1), -torch.inf)
        nearest = others.topk(min(self.targets, others.shape[1] - 1), dim=1).indices
        candidates = []
        for target in stepwise(nearest.T.unbind()):
            both = torch.stack([labels, target], 1)
            candidates += self.walks(view, images, both, targeted_margin, randomness)
        return best_of(view, candidates, labels, margin_loss)
