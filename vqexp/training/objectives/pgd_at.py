"""PGD adversarial training (Madry et al. 2018): cross-entropy on adversarial images of f as it is now."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vqexp.training.inner import InnerAttack, check_inner
from vqexp.training.objectives.cross_entropy import CrossEntropy
from vqexp.training.step import Batch, Step


@dataclass(kw_only=True)
class PGDAT(CrossEntropy):
    """Every batch is first attacked by `inner` (Madry et al., eq. 2.1)."""

    VERSION: ClassVar[int] = 2

    inner: InnerAttack

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inner(self.inner)

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """Cross-entropy and logits on the adversarial images."""
        adversarial = self.inner.perturb(model, batch, step)
        return super().loss(model, batch._replace(images=adversarial), step)
