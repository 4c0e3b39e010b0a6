"""Adversarial training (Madry et al. 2018): cross-entropy on the adversarial images of f as it is now."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vqexp.attacks import PGD
from vqexp.core.errors import check_number
from vqexp.training.standard import Standard


@dataclass(kw_only=True)
class Adversarial(Standard):
    """Every batch is first attacked by PGD with a random start (Madry et al., eq. 2.1).

    eps: radius of the l-inf ball, > 0, and step_size: of a step, > 0, both in units of [0, 1] pixels.
    attack_steps: >= 1. The other settings are those of `Standard`.
    """

    VERSION: ClassVar[int] = 2

    eps: float
    step_size: float
    attack_steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("training.eps", self.eps, above=0, high=1)
        check_number("training.step_size", self.step_size, above=0, high=1)
        check_number("training.attack_steps", self.attack_steps, low=1, integer=True)

    def loss(
        self, classifier: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """The loss and the logits (N, num_classes) on the adversarial images."""
        return super().loss(classifier, self.perturb(classifier, images, labels), labels, ids, epoch)

    def perturb(self, classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Adversarial images (N, C, H, W) in [0, 1].

        The attack sees f in evaluation mode, as in TRADES and in the `robustness` library of Madry's group:
        its steps then leave batch normalization's statistics alone. The random start follows torch's global
        generator, which `fit` seeds by (seed, epoch).
        """
        attack = PGD(eps=self.eps, steps=self.attack_steps, step_size=self.step_size)
        seed = int(torch.randint(2**31, ()))
        # in float16 small gradients would be zero, and their signs with them
        with torch.autocast(images.device.type, enabled=False):
            return attack.run(classifier, images, labels, seed).images
