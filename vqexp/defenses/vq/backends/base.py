"""What a backend is: the k-means of a quantizer, and its whole forward pass where that is one kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.defenses.vq import kmeans
from vqexp.defenses.vq import patches as cut

if TYPE_CHECKING:
    from vqexp.defenses.vq.quantizer import VectorQuantizer


class Backend:
    """torch: runs on every device and dtype, and is the reference for all others.

    Another backend overrides what it computes faster. Its labels are the reference's, except where rounding
    decides between centers that are equally near. So keys of results do not contain it.
    """

    name = "torch"

    def refusal(self, n: int, d: int, k: int, dtype: torch.dtype) -> str | None:
        """Why it cannot cluster n points of dimension d into k clusters; None if it can."""
        return None

    def starts(self, points: Tensor, k: int, init: str, streams: Streams) -> Tensor:
        """`kmeans.starts`: indices (B, k) of the points that Lloyd's algorithm starts from."""
        return kmeans.starts(points, k, init, streams)

    def lloyd(self, points: Tensor, centers: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
        """`kmeans.lloyd`: centers (B, k, d) and labels (B, n). Not differentiated."""
        return kmeans.lloyd(points, centers, max_steps)

    def blend_sliding(self, patches: Tensor, similarity: Tensor, s: int, size: tuple[int, int]) -> Tensor:
        """`patches.blend_sliding`: images (N, C, H, W), differentiable in patches and similarity."""
        return cut.blend_sliding(patches, similarity, s, size)

    def forward(self, quantizer: VectorQuantizer, images: Tensor, draw: Draw) -> Tensor | None:
        """The quantized images, all steps in one; None leaves it to the steps above.

        Called where no gradient is wanted and patches take their nearest centers. `draw` has ids.
        """
        return None
