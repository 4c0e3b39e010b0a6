"""An image's patches with their noise, tile by tile. A tile has D > d places; place d of a patch is 1."""
# mypy: disallow-untyped-defs=False

import triton
import triton.language as tl

from vqexp.core.philox_triton import normal_tile, stream
from vqexp.defenses.vq.kernels.lloyd import split


@triton.jit
def patch_tile(
    image, level, rows, n, columns, H, W, d, S: tl.constexpr, STRIDE: tl.constexpr, D: tl.constexpr
):
    """The patches `rows` (R,) of an image less each channel's level, (R, D), and zero beyond n and d."""
    place = tl.arange(0, D)[None, :]
    y = (rows // columns)[:, None] * STRIDE + place // S % S
    x = (rows % columns)[:, None] * STRIDE + place % S
    inside = (rows < n)[:, None] & (place < d) & (y < H) & (x < W)
    pixels = tl.load(image + (place // (S * S) * H + y) * W + x, inside, other=0.0)
    return tl.where(
        (rows < n)[:, None], pixels - tl.load(level + place // (S * S), place < d, other=0.0), 0.0
    )


@triton.jit
def noise_tile(rows, first, n, d, key0, key1, upper0, upper1, D: tl.constexpr):
    """The noise of the patches `rows`, (R, D), as `Streams.normal((n, d))` gives it from block `first` on."""
    block = first + rows[:, None] * ((d + 3) // 4) + tl.arange(0, D // 4)[None, :]
    noise = normal_tile(block.to(tl.uint32), key0, key1, upper0, upper1)
    return tl.where((rows < n)[:, None] & (tl.arange(0, D)[None, :] < d), noise, 0.0)


@triton.jit
def counted(points, rows, n, d, D: tl.constexpr):
    """The tile with 1 at place d of each of the n patches, so that sums of patches count them too."""
    return tl.where((tl.arange(0, D)[None, :] == d) & (rows < n)[:, None], 1.0, points)


@triton.jit(do_not_specialize=["seed", "first"])
def points_kernel(
    images, levels, identity, points, seed, first, scale, n, n_padded, columns, channels, H, W, d,
    S: tl.constexpr, STRIDE: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, NOISE: tl.constexpr,
):  # fmt: skip
    """All noisy patches of an image into memory, (2, n_padded, D): the two halves of each number."""
    number = tl.program_id(0).to(tl.int64)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    image, level = images + number * channels * H * W, levels + number * channels
    tile = patch_tile(image, level, rows, n, columns, H, W, d, S, STRIDE, D)
    if NOISE:
        key0, key1, upper0, upper1 = stream(
            tl.cast(seed, tl.int64), tl.load(identity + 2 * number), tl.load(identity + 2 * number + 1)
        )
        tile += scale * noise_tile(rows, first, n, d, key0, key1, upper0, upper1, D)
    high, low = split(counted(tile, rows, n, d, D))
    where = (2 * number * n_padded + rows[:, None]) * D + tl.arange(0, D)[None, :]
    tl.store(points + where, high)
    tl.store(points + where + n_padded * D, low)
