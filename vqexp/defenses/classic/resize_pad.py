"""Random resizing and padding (Xie et al. 2018, "Mitigating Adversarial Effects Through Randomization")."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import check_number
from vqexp.core.inputs import check_images
from vqexp.defenses.base import Defense


class ResizePad(Defense):
    """Shrinks each image to a random size and puts it at a random place on black.

    low: the smallest height and width as a share of the image's, in (0, 1].
    seed: key of the randomness, in [0, 2^63).
    Raises `ConfigError` for values out of range.

    The paper enlarges instead (299 pixels to at most 331), for a classifier that takes any size; here the
    shape stays, so that any f applies. The resize is bilinear, and so differentiable for its draw.
    """

    random = True
    strength = "low"

    def __init__(self, *, low: float, seed: int = 0) -> None:
        super().__init__()
        check_number("defense.low", low, above=0, high=1)
        check_number("defense.seed", seed, low=0, high=2**63 - 1, integer=True)
        self.low, self.seed = float(low), seed

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape and range, each image on its own draw."""
        check_images(images)
        streams = Streams(self.seed, self.draw_for(len(images), draw), images.device)
        uniform = streams.uniform((3,), torch.float64).tolist()
        return torch.cat([self._place(images[i : i + 1], *numbers) for i, numbers in enumerate(uniform)])

    def _place(self, image: Tensor, size: float, top: float, left: float) -> Tensor:
        """One image (1, C, H, W) -> same shape; three numbers uniform on [0, 1) choose size and place."""
        H, W = image.shape[-2:]
        h, w = self._shrunk(H, size), self._shrunk(W, size)
        above, before = int(top * (H - h + 1)), int(left * (W - w + 1))
        # in float64, for in float32 white would become a little more than 1
        small = F.interpolate(image.double(), (h, w), mode="bilinear", align_corners=False).to(image.dtype)
        return F.pad(small, (before, W - w - before, above, H - h - above))

    def _shrunk(self, side: int, uniform: float) -> int:
        """An integer uniform on [low * side, side]."""
        least = math.ceil(self.low * side - 1e-9)  # 0.7 * 10 is a little more than 7
        return least + int(uniform * (side - least + 1))
