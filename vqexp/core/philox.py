"""Random numbers for all images of a call at once, by the counter-based generator Philox 4x32-10.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011). philox(counter, key) is used three times.
The counter (purpose, place) and the key `seed` give a key for the call. That key and the counter (id, draw)
give four words for the image: its stream's key and the upper half of its stream's counter. The lower
half counts the blocks of four words, of which a stream has 2^32. Each row (last dimension) of an answer
starts a new block, so that a kernel can compute any tile of it.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
INCREMENTS = 0x9E3779B9, 0xBB67AE85


def philox(counter: Sequence[Any], key: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Philox 4x32-10 of four words and a key of two, all ints or int64 tensors that broadcast."""
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        # int64 overflows, but its upper word is right once the sign is masked away
        low, high = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = (high >> 32 & WORD) ^ b ^ k, high & WORD, (low >> 32 & WORD) ^ d ^ m, low & WORD
        k, m = k + INCREMENTS[0] & WORD, m + INCREMENTS[1] & WORD
    return a, b, c, d


def halves(number: Any) -> tuple[Any, Any]:
    """The lower and the upper word of 64 bits."""
    return number & WORD, number >> 32 & WORD


def uniform(words: Tensor) -> Tensor:
    """float32 on [0, 1), one from each word."""
    return (words >> 8).float() * 2.0**-24


def uniform_double(words: Tensor) -> Tensor:
    """float64 on [0, 1), one from two words."""
    return ((words[..., ::2] >> 5 << 26) + (words[..., 1::2] >> 6)).double() * 2.0**-53


def normal(words: Tensor) -> Tensor:
    """Standard normal float32 by Box and Muller, two from two words.

    The second word is an angle: its upper bit turns it by half a circle, the next mirrors it at the diagonal,
    the others choose it from [-pi / 4, pi / 4).
    """
    first, second = words[..., ::2], words[..., 1::2]
    radius = ((first.float() + 0.5) * 2.0**-32).log().mul(-2).sqrt()
    radius = torch.where(second >> 31 == 1, -radius, radius)
    angle = ((second & 0x3FFFFFFF) - 0x20000000).float() * (torch.pi * 2.0**-31)
    mirrored = (second >> 30 & 1) == 1
    pair = torch.stack((angle.cos(), angle.sin()), -1)
    return (radius.unsqueeze(-1) * torch.where(mirrored.unsqueeze(-1), pair.flip(-1), pair)).flatten(-2)


# what the words of a block become, and how many numbers that gives
KINDS = {"normal": (normal, 4), "uniform": (uniform, 4), "uniform_double": (uniform_double, 2)}


def layout(shape: Sequence[int], kind: str) -> tuple[int, int, int]:
    """(rows, numbers a row, blocks a row) of numbers of a kind in a shape."""
    width = shape[-1] if shape else 1
    return torch.Size(shape[:-1]).numel(), width, -(-width // KINDS[kind][1])


def fill(images: Tensor, seed: int, first: int, shape: Sequence[int], kind: str) -> Tensor:
    """Numbers of a kind, (N, *shape), of images (N, 2) int64, their ids and draws, from block `first` on."""
    rows, width, blocks = layout(shape, kind)
    ids, draws = images.unsqueeze(-1).unbind(1)
    k, m, c, d = philox((*halves(ids), *halves(draws)), halves(seed))
    block = torch.arange(first, first + rows * blocks, device=images.device)
    words = torch.stack(philox((block, 0, c, d), (k, m)), -1)
    numbers = KINDS[kind][0](words).view(len(images), rows, -1)
    return numbers[..., :width].reshape(len(images), *shape)


def fill_by_device(images: Tensor, *arguments: Any) -> Tensor:
    """`fill` in one launch of a Triton kernel where there is CUDA and Triton, else by torch's operations."""
    if images.device.type == "cuda" and find_spec("triton"):
        from vqexp.core import philox_triton

        return philox_triton.fill(images, *arguments)
    return fill(images, *arguments)


class CounterStreams:
    """One stream an image: `normal`, `uniform` and `subset` go on where the last call ended."""

    def __init__(
        self, seed: int, purpose: int, place: int, ids: Tensor, number: int | Tensor, device: torch.device
    ) -> None:
        a, b, *_ = philox((purpose, 0, *halves(place)), halves(seed))
        self.seed = (a | b << 32) - (b >> 31 << 64)  # as an int64
        number = torch.as_tensor(number, dtype=torch.int64, device=ids.device).expand(len(ids))
        # without waiting for what a GPU has still to do
        self.images = torch.stack((ids, number), 1).to(device, non_blocking=True)
        self.block = 0

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, (N, *shape) float32."""
        return self._next(shape, "normal")

    def uniform(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Numbers uniform on [0, 1), (N, *shape); in float64 with 53 bits, else with 24."""
        return self._next(shape, "uniform_double" if dtype == torch.float64 else "uniform").to(dtype)

    def subset(self, n: int, k: int) -> Tensor:
        """k different numbers out of range(n) for each image, (N, k) int64."""
        # the k smallest of n independent uniforms are a uniformly random subset
        return self.uniform((n,), torch.float64).topk(k, largest=False).indices

    def take(self, shape: Sequence[int], kind: str) -> int:
        """Leave out numbers that a kernel makes itself; returns the block where they begin."""
        rows, _, blocks = layout(shape, kind)
        first, self.block = self.block, self.block + rows * blocks
        return first

    def _next(self, shape: Sequence[int], kind: str) -> Tensor:
        return fill_by_device(self.images, self.seed, self.take(shape, kind), shape, kind)
