"""MART (Wang et al., ICLR 2020): adversarial training that heeds images which f gets wrong as they are."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqexp.core.errors import check_number
from vqexp.training.inner import InnerAttack, check_inner, kl
from vqexp.training.objectives.base import Objective
from vqexp.training.step import Batch, Step


@dataclass(kw_only=True)
class Mart(Objective):
    """BCE(p(x'), y) + beta KL(p(x) || p(x')) (1 - p_y(x)), x' being `inner`'s image of x: eq. 11.

    beta: >= 0, the paper's lambda. Means over the batch; gradients flow through all of it, the weight
    1 - p_y(x) included, as in the released code.
    """

    inner: InnerAttack
    beta: float = 6.0

    def __post_init__(self) -> None:
        check_inner(self.inner)
        check_number("training.objective.beta", self.beta, low=0)

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """The loss, and the logits on the adversarial images."""
        adversarial = self.inner.perturb(model, batch, step)
        clean, logits = model(batch.images), model(adversarial)
        wrong = 1 - clean.softmax(1).gather(1, batch.labels[:, None]).squeeze(1)
        terms = boosted_cross_entropy(logits, batch.labels) + self.beta * wrong * kl(logits, clean)
        return terms.mean(), logits


def boosted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """BCE = -log p_y - log(1 - max of p_k over k != y), eq. 8: (N, classes), (N,) -> (N,).

    The margin's 1 - p_k is the sum of all other probabilities, so its log stays finite for a sure f.
    """
    scores, rows = logits.log_softmax(1), torch.arange(len(labels), device=labels.device)
    others = scores.index_put((rows, labels), scores.new_tensor(-torch.inf))
    rest = scores.index_put((rows, others.argmax(1)), scores.new_tensor(-torch.inf))
    return -scores[rows, labels] - rest.logsumexp(1)
