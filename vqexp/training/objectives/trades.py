"""TRADES (Zhang et al., ICML 2019): accuracy on clean images against their distance from adversarial ones."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.errors import check_number
from vqexp.training.inner import InnerAttack, check_inner, kl
from vqexp.training.objectives.base import Objective
from vqexp.training.step import Batch, Step


@dataclass(kw_only=True)
class Trades(Objective):
    """CE(f(x), y) + beta KL(f(x) || f(x')), x' being `inner`'s image of x: eq. 5; beta is its 1/lambda.

    beta: >= 0. Both terms are means over the batch, and gradients flow through both sides of the divergence,
    as in the released code. `inner` climbs that divergence (`loss: kl`) from a small Gaussian start, against
    f in evaluation mode. The update's draw is the same for x and x'.
    """

    inner: InnerAttack
    beta: float = 6.0

    def __post_init__(self) -> None:
        check_inner(self.inner)
        check_number("training.objective.beta", self.beta, low=0)

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """The loss, and the logits on the clean images."""
        adversarial = self.inner.perturb(model, batch, step)
        clean = model(batch.images)
        divergence = kl(model(adversarial), clean).mean()
        return F.cross_entropy(clean, batch.labels) + self.beta * divergence, clean
