"""`philox.fill` as a Triton kernel, and its parts for kernels that make their noise themselves."""
# mypy: disallow-untyped-defs=False

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vqexp.core.philox import layout

BLOCK = 512


@triton.jit
def stream(seed, image_id, draw):
    """Key and upper half of the counter of an image's stream: four uint32; all arguments int64."""
    return tl.philox_impl(
        image_id.to(tl.uint32),
        (image_id >> 32).to(tl.uint32),
        draw.to(tl.uint32),
        (draw >> 32).to(tl.uint32),
        seed.to(tl.uint32),
        (seed >> 32).to(tl.uint32),
    )


@triton.jit
def words(block, k, m, c, d):
    """The four words of each block (uint32) of a stream."""
    zero = block * 0
    return tl.philox_impl(block, zero, zero + c, zero + d, k, m)


@triton.jit
def uniform(word):
    """As `philox.uniform`."""
    return (word >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2^-24


@triton.jit
def uniform_double(first, second):
    """As `philox.uniform_double`."""
    return ((first >> 5).to(tl.int64) * 67108864 + (second >> 6).to(tl.int64)).to(tl.float64) * (
        1.1102230246251565e-16  # 2^-53
    )


@triton.jit
def normal_pair(first, second):
    """As `philox.normal`; sine and cosine on [-pi / 4, pi / 4) are Cephes' polynomials."""
    radius = tl.sqrt(-2.0 * tl.log((first.to(tl.float32) + 0.5) * 2.3283064365386963e-10))  # 2^-32
    radius = tl.where(second >> 31 == 1, -radius, radius)
    turned = (second & 0x3FFFFFFF).to(tl.int32) - 0x20000000
    angle = turned.to(tl.float32) * 1.4629180792671596e-09  # pi 2^-31
    z = angle * angle
    sine = angle + angle * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4))
    cosine = z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5))
    cosine += 1.0 - 0.5 * z
    mirrored = (second >> 30) & 1 == 1
    return radius * tl.where(mirrored, sine, cosine), radius * tl.where(mirrored, cosine, sine)


@triton.jit
def interleaved(a, b, c, d):
    """a[0], b[0], c[0], d[0], a[1], ... along the last dimension, of tiles (R, n) -> (R, 4 n)."""
    return tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (a.shape[0], 4 * a.shape[1]))


@triton.jit
def normal_tile(block, k, m, c, d):
    """The normal numbers of blocks (R, n) of a stream, (R, 4 n)."""
    w0, w1, w2, w3 = words(block, k, m, c, d)
    z0, z1 = normal_pair(w0, w1)
    z2, z3 = normal_pair(w2, w3)
    return interleaved(z0, z1, z2, z3)


@triton.jit(do_not_specialize=["seed", "first", "rows"])
def fill_kernel(out, images, seed, first, rows, width, blocks, KIND: tl.constexpr, BLOCK: tl.constexpr):
    image = tl.program_id(0).to(tl.int64)
    k, m, c, d = stream(tl.cast(seed, tl.int64), tl.load(images + 2 * image), tl.load(images + 2 * image + 1))
    index = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    block = (first + index).to(tl.uint32)
    if KIND == "normal":
        numbers = normal_tile(block, k, m, c, d)
    elif KIND == "uniform":
        w0, w1, w2, w3 = words(block, k, m, c, d)
        numbers = interleaved(uniform(w0), uniform(w1), uniform(w2), uniform(w3))
    else:
        w0, w1, w2, w3 = words(block, k, m, c, d)
        pair = tl.join(uniform_double(w0, w1), uniform_double(w2, w3))
        numbers = tl.reshape(pair, (1, 2 * BLOCK))
    each: tl.constexpr = numbers.shape[1] // BLOCK
    place = tl.program_id(1) * BLOCK * each + tl.arange(0, BLOCK * each)[None, :]
    row = place // (blocks * each)
    column = place % (blocks * each)
    inside = (row < rows) & (column < width)
    tl.store(out + image * rows * width + row * width + column, numbers, inside)


def fill(images: Tensor, seed: int, first: int, shape: Sequence[int], kind: str) -> Tensor:
    """As `philox.fill`."""
    rows, width, blocks = layout(shape, kind)
    dtype = torch.float64 if kind == "uniform_double" else torch.float32
    out = torch.empty(len(images), *shape, dtype=dtype, device=images.device)
    if out.numel():
        grid = (len(images), triton.cdiv(rows * blocks, BLOCK))
        with torch.cuda.device_of(out):
            fill_kernel[grid](out, images, seed, first, rows, width, blocks, kind, BLOCK)
    return out
