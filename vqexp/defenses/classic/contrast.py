"""A control, not a defense: a change of contrast alone."""

from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.errors import check_number
from vqexp.core.inputs import check_images
from vqexp.defenses.base import Defense


class Contrast(Defense):
    """Maps black to `low` and white to `high`, both in [0, 1], linearly.

    A quantizer restores an attacked digit's shape but not its contrast; this shows how much of a row is due
    to how f takes a grey background.
    """

    def __init__(self, *, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        check_number("defense.low", low, low=0, high=1)
        check_number("defense.high", high, low=0, high=1)
        self.low, self.high = float(low), float(high)

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, in [low, high]."""
        check_images(images)
        return self.low + (self.high - self.low) * images
