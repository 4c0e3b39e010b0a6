"""Cutting images into s x s patches and putting them together again.

A patch is a vector of d = C s^2 numbers, channel by channel, row by row.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def disjoint(images: Tensor, s: int) -> Tensor:
    """Non-overlapping patches, (N, C, H, W) -> (N, ceil(H/s) ceil(W/s), C s^2).

    An image whose size is no multiple of s is zero-padded right and bottom.
    """
    H, W = images.shape[-2:]
    padded = F.pad(images, (0, -W % s, 0, -H % s))
    return F.pixel_unshuffle(padded, s).flatten(2).transpose(1, 2).contiguous()


def join_disjoint(patches: Tensor, s: int, size: tuple[int, int]) -> Tensor:
    """Undo `disjoint` for images of `size` (H, W): (N, n, C s^2) -> (N, C, H, W)."""
    H, W = size
    rows, columns = -(-H // s), -(-W // s)
    grid = patches.transpose(1, 2).unflatten(2, (rows, columns))
    return F.pixel_shuffle(grid, s)[..., :H, :W].contiguous()


def sliding(images: Tensor, s: int) -> Tensor:
    """All overlapping patches at stride 1, (N, C, H, W) -> (N, (H-s+1)(W-s+1), C s^2)."""
    return F.unfold(images, s).transpose(1, 2).contiguous()


def blend_sliding(patches: Tensor, similarity: Tensor, s: int, size: tuple[int, int]) -> Tensor:
    """Each pixel a mean over the patches that cover it, with weights softmax(similarity) over these.

    patches (N, n, C s^2), similarity (N, n) -> (N, C, H, W). Journal paper, eq. 3; Algorithm 2, lines 8-17.
    """
    H, W = size
    grid = patches.transpose(1, 2).unflatten(2, (H - s + 1, W - s + 1)).unflatten(1, (-1, s, s))

    def part(scores: Tensor, peak: Tensor, dy: int, dx: int) -> tuple[Tensor, Tensor]:
        weight = torch.exp(scores - peak)
        return weight * grid[:, :, dy, dx], weight

    return blend(part, similarity, s, (grid.shape[1], H, W))


def blend(
    part: Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]],
    similarity: Tensor,
    s: int,
    size: tuple[int, int, int],
) -> Tensor:
    """`blend_sliding` into images of `size` (C, H, W), one place (dy, dx) of all patches after the other.

    part(scores, peak, dy, dx) -> the pixels there (N, C, rows, columns) times their weights, and the weights
    exp(scores - peak), (N, 1, rows, columns). The peak is the largest similarity *at each pixel*: with one
    maximum for the whole image every weight of a far-off pixel would underflow (0/0).
    """
    C, H, W = size
    rows, columns = H - s + 1, W - s + 1
    scores = similarity.unflatten(1, (rows, columns)).unsqueeze(1)
    outside = F.pad(scores.detach(), (s - 1,) * 4, value=-torch.inf)
    peak = F.max_pool2d(outside, s, stride=1)
    # pixel (dy, dx) of every patch: an image shifted by (dy, dx)
    total = similarity.new_zeros(len(similarity), C, H, W)
    weight_sum = similarity.new_zeros(len(similarity), 1, H, W)
    for dy in range(s):
        for dx in range(s):
            window = (..., slice(dy, dy + rows), slice(dx, dx + columns))
            weighted, weight = part(scores, peak[window], dy, dx)
            total[window] += weighted
            weight_sum[window] += weight
    return total / weight_sum
