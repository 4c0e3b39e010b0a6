"""Launches of the kernels. `cut` holds what they have in common: how an image is cut, and its noise."""

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from vqexp.defenses.vq.kernels.assign import assign_kernel, blend_kernel
from vqexp.defenses.vq.kernels.lloyd import lloyd_kernel
from vqexp.defenses.vq.kernels.patches import points_kernel


@dataclass(frozen=True)
class Tuning:
    """Patches a tile, warps a program, tiles in flight, registers a thread: results differ by rounding alone.

    registers: at most so many, so that more programs share a multiprocessor; None leaves it to the compiler.
    """

    rows: int = 128
    warps: int = 4
    stages: int = 3
    registers: int | None = None

    def rows_of(self, D: int) -> int:
        """Patches a tile of D places, as many as fit beside others into shared memory."""
        return min(self.rows, 4096 // D)


def power_of_two(number: int) -> int:
    """The next one that is at least 16, the least that a matrix product takes."""
    return max(16, triton.next_power_of_2(number))


def points(images: Tensor, cut: dict[str, Any], tuning: Tuning) -> Tensor:
    """All noisy patches of each image as `lloyd` takes them, (N, 2, n or some more, D) float16.

    They are read again at each step, from the cache: in registers they do not fit, and in shared memory
    Triton keeps two copies, one for each of the products, which do not fit either.
    """
    D, rows = cut["D"], tuning.rows_of(cut["D"])
    tiles = triton.cdiv(cut["n"], rows)
    out = images.new_empty(len(images), 2, tiles * rows, D, dtype=torch.float16)
    with torch.cuda.device_of(out):
        points_kernel[len(images), tiles](images, points=out, n_padded=tiles * rows, ROWS=rows, **cut)
    return out


def lloyd(
    points: Tensor, starts: Tensor, n: int, max_steps: int, tuning: Tuning, labels: Tensor | None = None
) -> Tensor:
    """Centers (N, k, d) of `points` from `starts` (N, k, d), and the labels of the n points of each image."""
    k, d = starts.shape[1:]
    out = torch.empty_like(starts)
    with torch.cuda.device_of(out):
        lloyd_kernel[(len(points),)](
            points,
            starts,
            out,
            out if labels is None else labels,
            n,
            points.shape[2],
            d,
            k,
            max_steps,
            K=power_of_two(k),
            D=points.shape[3],
            ROWS=tuning.rows_of(points.shape[3]),
            LABELS=labels is not None,
            STAGES=tuning.stages,
            num_warps=tuning.warps,
            maxnreg=tuning.registers,
        )
    return out


def assign(images: Tensor, centers: Tensor, sharpness: float, cut: dict[str, Any]) -> Tensor:
    """The quantized images; overlapping patches are blended by exp(-sharpness * squared distance)."""
    N, C, H, W = images.shape
    n, k, columns, rows, pixels = cut["n"], centers.shape[1], cut["columns"], 64, 128
    out, scores = torch.empty_like(images), images.new_empty(N, n)
    labels = torch.empty(N, n, dtype=torch.int32, device=images.device)
    with torch.cuda.device_of(out):
        assign_kernel[N, triton.cdiv(n, rows)](
            images,
            centers=centers,
            labels=labels,
            scores=scores,
            out=out,
            sharpness=sharpness,
            k=k,
            K=power_of_two(k),
            ROWS=rows,
            **cut,
        )
        if cut["STRIDE"] != cut["S"]:
            blend_kernel[N, triton.cdiv(H * W, pixels)](
                cut["levels"],
                centers,
                labels,
                scores,
                out,
                n,
                n // columns,
                columns,
                C,
                H,
                W,
                cut["d"],
                k,
                S=cut["S"],
                CHANNELS=triton.next_power_of_2(C),
                PIXELS=pixels,
            )
    return out
