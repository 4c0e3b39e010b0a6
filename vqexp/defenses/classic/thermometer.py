"""Thermometer encoding (Buckman et al. 2018, "Thermometer Encoding: One Hot Way To Resist Adversarial
Examples"); Athalye et al. 2018 (section 5.2.1) break it straight-through."""

import torch
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.errors import check_number
from vqexp.core.inputs import check_images
from vqexp.defenses.base import Defense


class Thermometer(Defense):
    """Compares each pixel with `levels` thresholds and averages: the share of the thresholds that it exceeds.

    levels: 2 to 255; the paper's are 16. The paper gives each comparison a channel of its own, and f other
    inputs; the average keeps the images' shape, so any f applies. Train f on it with training=quantized.
    Comparisons are constant almost everywhere: the true gradient is zero.
    """

    strength = "levels"

    def __init__(self, *, levels: int) -> None:
        super().__init__()
        check_number("defense.levels", levels, low=2, high=255, integer=True)
        self.levels = levels

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, multiples of 1 / levels."""
        check_images(images)
        places = (torch.arange(self.levels, device=images.device) + 0.5) / self.levels
        above = images.detach().unsqueeze(-1) > places.to(images.dtype)
        return above.to(images.dtype).mean(-1) + 0 * images
