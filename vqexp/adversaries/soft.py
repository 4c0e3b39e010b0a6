"""A differentiable stand-in for the vector quantizers: every patch takes all centers a little."""

from copy import copy
from typing import Any, ClassVar

import torch
from torch import Tensor

from vqexp.adversaries.estimators import Forward
from vqexp.adversaries.white_box import WhiteBox
from vqexp.core.draws import Draw
from vqexp.core.errors import SenselessError, check_number, require
from vqexp.defenses import Defense, VectorQuantizer
from vqexp.defenses.vq.quantizer import Nearest

TINY = 1e-12


class Softmax(Nearest):
    """A patch p takes center c with weight softmax(-||p - c||^2 / temperature) over the centers.

    temperature: > 0, in squared [0, 1] pixels. As it falls, the nearest center takes all.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def codebook(self, noisy: Tensor, centers: Tensor) -> Tensor:
        """One soft k-means step from the hard result: means (N, k, d) of the noisy patches, by weight.

        A center that no patch takes stays where it is.
        """
        weights = self.weights(noisy, centers).transpose(1, 2)
        return (weights @ noisy + TINY * centers) / (weights.sum(-1, keepdim=True) + TINY)

    def quantized(self, noisy: Tensor, centers: Tensor) -> Tensor:
        """For each patch the mean of the centers, by weight."""
        return self.weights(noisy, centers) @ centers

    def weights(self, noisy: Tensor, centers: Tensor) -> Tensor:
        """(N, n, d) and (N, k, d) -> (N, n, k), each row a distribution over the centers."""
        # a patch's own norm is the same for all centers and cancels
        scores = 2 * noisy @ centers.transpose(1, 2) - centers.square().sum(-1).unsqueeze(1)
        return (scores / self.temperature).softmax(-1)


class SoftQuantizer(Defense):
    """The quantizer with soft assignments in place of its own, on the same draws.

    hard_forward: the forward value is the quantizer's own and only the gradient is the soft one's.
    """

    random = True

    def __init__(self, quantizer: VectorQuantizer, temperature: float, hard_forward: bool) -> None:
        super().__init__()
        self.hard, self.soft, self.hard_forward = quantizer, copy(quantizer), hard_forward
        self.soft.assignment = Softmax(temperature)

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        draw = self.draw_for(len(images), draw)
        soft = self.soft(images, draw)
        if not self.hard_forward:
            return soft
        with torch.no_grad():
            hard = self.hard(images, draw)
        return Forward.apply(soft, hard)


class Soft(WhiteBox):
    """Knows f and the quantizer, and follows the gradient of its soft version, assignments included.

    temperature: of the assignments, > 0, in squared [0, 1] pixels. hard_forward: the loss is taken at the
    quantizer's own output. The other parameters are those of `WhiteBox`.
    Raises `ConfigError` for values out of range.
    """

    GRADIENTS: ClassVar[dict[str, str]] = {"soft": "gradient of a soft quantizer"}

    def __init__(self, *, temperature: float, hard_forward: bool, **settings: Any) -> None:
        super().__init__(gradient="soft", **settings)
        check_number("adversary.temperature", temperature, above=0)
        require(
            isinstance(hard_forward, bool),
            f"adversary.hard_forward is {hard_forward!r}; it must be true or false",
        )
        self.temperature, self.hard_forward = float(temperature), hard_forward

    def check(self, defense: Defense) -> None:
        """Refuse what has no soft version: all but the vector quantizers."""
        super().check(defense)
        if not isinstance(defense, VectorQuantizer):
            raise SenselessError(
                f"adversary=soft softens a quantizer's assignments, and {defense.name} has none; "
                "choose ste or exact"
            )

    def estimator(self, defense: Defense) -> Defense:
        """The soft quantizer."""
        assert isinstance(defense, VectorQuantizer)
        return SoftQuantizer(defense, self.temperature, self.hard_forward)
