"""Triton: patches, noise, all Lloyd steps and reassembly in a few launches on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from vqexp.core.draws import Draw, Streams
from vqexp.defenses.vq import kmeans
from vqexp.defenses.vq.backends.base import Backend
from vqexp.defenses.vq.kernels import launch
from vqexp.defenses.vq.kernels.launch import Tuning, power_of_two
from vqexp.defenses.vq.prd import PRD, RandDisc
from vqexp.defenses.vq.swrd import SwRD

if TYPE_CHECKING:
    from vqexp.defenses.vq.quantizer import VectorQuantizer


class Best(Backend):
    """Computes quantizers of float32 images on CUDA, and leaves what it does not know to torch."""

    name = "triton"
    tuning = Tuning()

    def refusal(self, n: int, d: int, k: int, dtype: torch.dtype) -> str | None:
        """Why it cannot cluster n points of dimension d into k clusters; None if it can."""
        if dtype != torch.float32:
            return f"it computes in float32, not in {str(dtype).removeprefix('torch.')}"
        K, D = power_of_two(k), power_of_two(d + 1)
        if max(K, D) > 128 or K * D > 8192:
            return f"its tables hold fewer than {k} centers of {d} numbers"
        return None

    def lloyd(self, points: Tensor, centers: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
        """`kmeans.lloyd`: centers (B, k, d) and labels (B, n). Not differentiated."""
        if max_steps == 0:
            return super().lloyd(points, centers, max_steps)
        n, d = points.shape[1:]
        labels = torch.empty(points.shape[:2], dtype=torch.int64, device=points.device)
        D = power_of_two(d + 1)
        more = D - d - 1, -n % self.tuning.rows_of(D)
        # distances are the same between points less their mean, and rounded less
        level = points.mean(1, keepdim=True)
        tiles = pad(pad(points - level, (0, 1), value=1.0), (0, more[0], 0, more[1]))
        high = tiles.half()
        tiles = torch.stack((high, (tiles - high).half()), 1)
        return launch.lloyd(tiles, centers - level, n, max_steps, self.tuning, labels) + level, labels

    def forward(self, quantizer: VectorQuantizer, images: Tensor, draw: Draw) -> Tensor | None:
        """The quantized images, unless their patches are not known here, or k-means runs several times."""
        if type(quantizer) not in (SwRD, PRD, RandDisc) or quantizer.restarts > 1:
            return None
        images, size = images.contiguous(), quantizer._images_at_once(images)
        blocks = [slice(i, i + size) for i in range(0, len(images), size)]
        return torch.cat([self._quantize(quantizer, images[rows], draw[rows]) for rows in blocks])

    def _quantize(self, q: VectorQuantizer, images: Tensor, draw: Draw) -> Tensor:
        C, H, W = images.shape[1:]
        stride, columns = (1, W - q.s + 1) if isinstance(q, SwRD) else (q.s, -(-W // q.s))
        n, d = q.number_of_patches(H, W), C * q.s**2
        D = power_of_two(d + 1)
        # distances are the same between pixels less their mean, and rounded less; the mean itself is rounded
        # because its last bits depend on the size of the batch
        levels = images.mean((2, 3), dtype=torch.float64).mul(256).round().div(256).float()
        cut: dict[str, Any] = dict(
            levels=levels, n=n, columns=columns, channels=C, H=H, W=W, d=d, S=q.s, STRIDE=stride, D=D
        )
        streams = Streams(q.seed, draw, images.device)
        cut |= self._noise(streams, q.sigma / q.pixel_max, n, d)
        points = launch.points(images, cut, self.tuning)
        high, low = points[..., :n, :d].unbind(1)
        index = kmeans.starts(high if q.init == "random" else high.float() + low, q.k, q.init, streams)
        starts = kmeans.gather_rows(high, index).float() + kmeans.gather_rows(low, index)
        centers = launch.lloyd(points, starts, n, q.max_steps, self.tuning)
        cut |= self._noise(streams, q.tau / q.pixel_max, n, d)
        sharpness = q.beta * q.pixel_max**2 if isinstance(q, SwRD) else 0.0
        return launch.assign(images, centers, sharpness, cut)

    def _noise(self, streams: Streams, scale: float, n: int, d: int) -> dict[str, Any]:
        """What a kernel needs to make the next n x d normal numbers itself."""
        source = streams.counted
        assert source is not None
        first = source.take((n, d), "normal") if scale else 0
        return dict(identity=source.images, seed=source.seed, first=first, scale=scale, NOISE=scale > 0)
