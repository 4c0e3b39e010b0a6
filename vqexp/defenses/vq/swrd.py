"""swRD: overlapping patches, blended pixel by pixel. Journal paper, section 4.2 and Algorithm 2."""

from typing import Any

import torch
from torch import Tensor

from vqexp.core.errors import check_number
from vqexp.defenses.vq import patches as cut
from vqexp.defenses.vq.quantizer import VectorQuantizer
from vqexp.defenses.vq.tiles import Tiles, again


class SwRD(VectorQuantizer):
    """Sliding-window RandDisc (Algorithm 2).

    beta: sharpness of the blend, >= 0, in the pixel scale `pixel_max` (its unit is 1 / pixel^2).
    The other parameters are those of `VectorQuantizer`.
    """

    def __init__(self, *, beta: float, **settings: Any) -> None:
        super().__init__(**settings)
        check_number("defense.beta", beta, low=0)
        self.beta = float(beta)

    def extra_repr(self) -> str:
        """The parameters, for `print(quantizer)`."""
        return f"{super().extra_repr()}, beta={self.beta:g}"

    @property
    def stride(self) -> int:
        """1."""
        return 1

    def number_of_patches(self, H: int, W: int) -> int:
        """(H - s + 1)(W - s + 1)."""
        return (H - self.s + 1) * (W - self.s + 1)

    def patches(self, images: Tensor) -> Tensor:
        """Line 2: all s x s windows at stride 1."""
        return cut.sliding(images, self.s)

    def reassemble(self, quantized: Tensor, patches: Tensor, size: tuple[int, int]) -> Tensor:
        """Lines 6-17: similarity -beta d_j^2 to the *noise-free* patch, softmax over a pixel's patches."""
        squared_distance = (quantized - patches).square().sum(-1) * self.pixel_max**2
        backend = self.backend_for(patches)
        return backend.blend_sliding(quantized, -self.beta * squared_distance, self.s, size)

    def assemble(self, tiles: Tiles, centers: Tensor, labels: Tensor) -> Tensor:
        """Lines 6-17, the pixels of quantized patches being read off the centers, place by place."""
        squared_distance = tiles.squared_distances(centers, labels) * self.pixel_max**2
        C, H, W = tiles.image.shape[1:]
        grid = labels[0].view(H - self.s + 1, W - self.s + 1)

        def at(scores: Tensor, peak: Tensor, centers: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
            weight = torch.exp(scores - peak)
            pixels = centers[0].unflatten(1, (C, self.s, self.s))[:, :, dy, dx].T
            return weight * pixels[:, grid].unsqueeze(0), weight

        def part(scores: Tensor, peak: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
            weighted, weight = again(at, scores, peak, centers, dy, dx)
            return weighted, weight

        return cut.blend(part, -self.beta * squared_distance, self.s, (C, H, W))
