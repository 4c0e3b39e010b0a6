"""Fixed preprocessors from the literature, all broken by an attacker who knows them (Athalye et al. 2018).

JPEG and fewer bits: Guo et al. 2018, "Countering Adversarial Images using Input Transformations", section 3.
Fewer bits and the median: Xu et al. 2018, "Feature Squeezing", sections III-A and III-B.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.errors import check_number, require
from vqexp.core.inputs import check_images
from vqexp.defenses.base import Defense


class JPEG(Defense):
    """Compression by torchvision's codec, with pixels rounded to 8 bits on the way in and out.

    quality: 1 to 100. For images of 1 or 3 channels; `ConfigError` otherwise. The codec has no gradient.
    """

    differentiable = False
    strength = "quality"

    def __init__(self, *, quality: int) -> None:
        super().__init__()
        check_number("defense.quality", quality, low=1, high=100, integer=True)
        self.quality = quality

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ConfigError` unless `shape` (C, H, W) is that of grey or RGB images."""
        require(
            shape[0] in (1, 3),
            f"defense=jpeg takes images of 1 or 3 channels; these have {shape[0]}",
        )

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, multiples of 1/255 in [0, 1], without a gradient."""
        from torchvision.io import decode_jpeg, encode_jpeg  # slow to import, and not needed elsewhere

        check_images(images)
        self.check(images.shape[1:])
        pixels = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8).cpu().contiguous()
        decoded = decode_jpeg(encode_jpeg(list(pixels), self.quality))
        return torch.stack(decoded).to(images.device).to(images.dtype).div(255)


class BitDepth(Defense):
    """Rounds every pixel to the nearest of 2^bits levels, 0 and 1 among them.

    bits: 1 to 8. Rounding is constant almost everywhere: the true gradient is zero.
    """

    strength = "bits"

    def __init__(self, *, bits: int) -> None:
        super().__init__()
        check_number("defense.bits", bits, low=1, high=8, integer=True)
        self.bits = bits

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, multiples of 1 / (2^bits - 1)."""
        check_images(images)
        steps = 2**self.bits - 1
        return (images * steps).round() / steps


class Median(Defense):
    """Every pixel becomes the median of the `size` x `size` window around it, in each channel.

    size: odd, >= 3, and less than twice the image's height and width, for the image is reflected at its
    edges. Differentiable almost everywhere: the gradient goes to the pixel that is the median. That
    pixel is seldom the window's own: straight-through is a poor stand-in, and the exact gradient breaks it.
    """

    strength = "size"

    def __init__(self, *, size: int) -> None:
        super().__init__()
        check_number("defense.size", size, low=3, integer=True)
        require(size % 2 == 1, f"defense.size is {size}; it must be odd")
        self.size = size

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ConfigError` if the window is too large to reflect images of `shape` (C, H, W)."""
        _, H, W = shape
        most = 2 * min(H, W) - 1
        require(
            self.size <= most,
            f"defense.size is {self.size}; it must be at most {most}, the image being {H} x {W}",
        )

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, of the same image's values."""
        check_images(images)
        self.check(images.shape[1:])
        padded = F.pad(images, [self.size // 2] * 4, mode="reflect")
        windows = padded.unfold(2, self.size, 1).unfold(3, self.size, 1)
        return windows.flatten(4).median(4).values
