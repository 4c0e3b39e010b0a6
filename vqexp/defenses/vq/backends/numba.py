"""numba: compiled for this CPU at first use, an image a thread."""

import torch
from torch import Tensor

from vqexp.core.draws import Streams
from vqexp.core.threads import over
from vqexp.defenses.vq import kmeans
from vqexp.defenses.vq.backends import kernels
from vqexp.defenses.vq.backends.base import Backend


class Best(Backend):
    """Takes float32 alone: what is computed in float64 is there to compare with."""

    name = "numba"

    def refusal(self, n: int, d: int, k: int, dtype: torch.dtype) -> str | None:
        """Any dtype but float32."""
        return None if dtype == torch.float32 else f"it computes in float32, not in {str(dtype)[6:]}"

    def starts(self, points: Tensor, k: int, init: str, streams: Streams) -> Tensor:
        """Indices (B, k); k-means++ compiled."""
        if init != "k-means++":
            return super().starts(points, k, init, streams)
        chance = streams.uniform((k, kmeans.candidates_a_step(k)), torch.float64).numpy()
        rows, chosen = points.detach().contiguous().numpy(), torch.empty(len(points), k, dtype=torch.int64)
        found = chosen.numpy()
        over(len(rows), rows.size, lambda b: kernels.plus_plus(rows[b], chance[b], found[b]))
        return chosen

    def lloyd(self, points: Tensor, centers: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
        """Centers (B, k, d) and labels (B, n)."""
        labels = torch.empty(points.shape[:2], dtype=torch.int64)
        centers = centers.clone(memory_format=torch.contiguous_format)
        rows, there, found = points.contiguous().numpy(), centers.numpy(), labels.numpy()
        over(len(rows), rows.size, lambda b: kernels.lloyd(rows[b], there[b], found[b], max_steps))
        return centers, labels

    def blend_sliding(self, patches: Tensor, similarity: Tensor, s: int, size: tuple[int, int]) -> Tensor:
        """Images (N, C, H, W); compiled where no gradient is wanted."""
        if torch.is_grad_enabled() and (patches.requires_grad or similarity.requires_grad):
            return super().blend_sliding(patches, similarity, s, size)
        images = torch.empty(len(patches), patches.shape[2] // s**2, *size)
        rows, scores, out = patches.detach().contiguous().numpy(), similarity.detach().numpy(), images.numpy()
        over(len(rows), rows.size, lambda b: kernels.blend(rows[b], scores[b], s, out[b]))
        return images
