"""pRD and RandDisc: disjoint patches. Journal paper, section 4.1 and Algorithm 1."""

from typing import Any

from torch import Tensor

from vqexp.defenses.vq import kmeans
from vqexp.defenses.vq import patches as cut
from vqexp.defenses.vq.quantizer import VectorQuantizer
from vqexp.defenses.vq.tiles import Tiles


class PRD(VectorQuantizer):
    """Patched RandDisc: every s x s block becomes the nearest of k centers (Algorithm 1)."""

    @property
    def stride(self) -> int:
        """s."""
        return self.s

    def number_of_patches(self, H: int, W: int) -> int:
        """ceil(H/s) ceil(W/s)."""
        return -(-H // self.s) * -(-W // self.s)

    def patches(self, images: Tensor) -> Tensor:
        """Line 2: disjoint patches, zero-padded right and bottom where s does not divide the size."""
        return cut.disjoint(images, self.s)

    def reassemble(self, quantized: Tensor, patches: Tensor, size: tuple[int, int]) -> Tensor:
        """Line 7: the quantized patches side by side, the padding cropped away."""
        return cut.join_disjoint(quantized, self.s, size)

    def assemble(self, tiles: Tiles, centers: Tensor, labels: Tensor) -> Tensor:
        """Line 7: all quantized patches are no larger than the image."""
        H, W = tiles.image.shape[-2:]
        return cut.join_disjoint(kmeans.gather_rows(centers, labels), self.s, (H, W))


class RandDisc(PRD):
    """Randomized discretization (Zhang & Liang 2019): pRD on single pixels, started by k-means++."""

    def __init__(self, *, s: int = 1, **settings: Any) -> None:
        super().__init__(s=s, **settings)
