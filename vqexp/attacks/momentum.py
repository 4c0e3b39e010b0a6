"""PGD with momentum: heavy ball (as in Dong et al. 2018) or several at once (AggMo, Lucas et al. 2019).

Against a random defense it averages gradients over steps, as EOT averages them over the draws of one step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vqexp.attacks.pgd import PGD
from vqexp.core.errors import check_number, require


class MomentumPGD(PGD):
    """PGD on the mean of velocities v <- momentum * v + gradient / (mean absolute gradient), image by image.

    momenta: one velocity each, in [0, 1); [0.9] is heavy ball, [0, 0.9, 0.99] is AggMo. The other parameters
    are those of `PGD`.
    """

    VERSION = 1

    def __init__(self, *, momenta: Sequence[float], **settings: Any) -> None:
        super().__init__(**settings)
        require(momenta, "attack.momenta is empty; it needs a momentum, such as [0.9]")
        for momentum in momenta:
            check_number("attack.momenta", momentum, low=0, below=1)
        self.momenta = tuple(momenta)

    def directions(self) -> Callable[[Tensor], Tensor]:
        """The steepest ascent along the mean velocity; at rest at the start of every restart."""
        velocities: list[Tensor] = []

        def direction(gradient: Tensor) -> Tensor:
            scale = gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
            if not velocities:
                velocities.extend(torch.zeros_like(gradient) for _ in self.momenta)
            for velocity, momentum in zip(velocities, self.momenta, strict=True):
                velocity.mul_(momentum).add_(gradient / scale)
            return self.direction(torch.stack(velocities).mean(0))

        return direction
