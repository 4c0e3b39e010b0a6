"""From centers to the quantized image: each patch takes the nearest, and patches that overlap are blended."""
# mypy: disallow-untyped-defs=False

import triton
import triton.language as tl

from vqexp.core.philox_triton import stream
from vqexp.defenses.vq.kernels.lloyd import nearest, split
from vqexp.defenses.vq.kernels.patches import noise_tile, patch_tile


@triton.jit(do_not_specialize=["seed", "first"])
def assign_kernel(
    images, levels, identity, centers, labels, scores, out,
    seed, first, scale, sharpness, n, columns, channels, H, W, d, k,
    S: tl.constexpr, STRIDE: tl.constexpr, K: tl.constexpr, D: tl.constexpr,
    ROWS: tl.constexpr, NOISE: tl.constexpr,
):  # fmt: skip
    """Disjoint patches become their centers in `out`; of others the labels and similarities are written."""
    number = tl.program_id(0).to(tl.int64)
    image, level = images + number * channels * H * W, levels + number * channels
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    center, place = tl.arange(0, K), tl.arange(0, D)[None, :]
    patches = patch_tile(image, level, rows, n, columns, H, W, d, S, STRIDE, D)
    noisy = patches
    if NOISE:
        key0, key1, upper0, upper1 = stream(
            tl.cast(seed, tl.int64), tl.load(identity + 2 * number), tl.load(identity + 2 * number + 1)
        )
        noisy += scale * noise_tile(rows, first, n, d, key0, key1, upper0, upper1, D)
    centers += number * k * d
    book = tl.load(centers + center[:, None] * d + place, (center < k)[:, None] & (place < d), other=0.0)
    high, low = split(noisy)
    label = nearest(high, low, book, k, ROWS, K)
    quantized = tl.load(centers + label[:, None] * d + place, place < d, other=0.0)
    if STRIDE == S:
        y = (rows // columns)[:, None] * STRIDE + place // S % S
        x = (rows % columns)[:, None] * STRIDE + place % S
        inside = (rows < n)[:, None] & (place < d) & (y < H) & (x < W)
        quantized += tl.load(level + place // (S * S), place < d, other=0.0)
        tl.store(out + ((number * channels + place // (S * S)) * H + y) * W + x, quantized, inside)
    else:
        difference = quantized - patches
        score = -sharpness * tl.sum(difference * difference, 1)
        tl.store(labels + number * n + rows, label.to(tl.int32), rows < n)
        tl.store(scores + number * n + rows, score, rows < n)


@triton.jit
def blend_kernel(
    levels, centers, labels, scores, out, n, rows, columns, channels, H, W, d, k,
    S: tl.constexpr, CHANNELS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Each pixel a mean over the patches that cover it, as `patches.blend_sliding`."""
    number = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    y, x, channel = pixel // W, pixel % W, tl.arange(0, CHANNELS)[None, :]
    labels += number * n
    scores += number * n
    centers += number * k * d
    peak = tl.full((PIXELS,), float("-inf"), tl.float32)
    for offset in tl.static_range(S * S):
        row, column = y - offset // S, x - offset % S
        covers = (row >= 0) & (row < rows) & (column >= 0) & (column < columns) & (pixel < H * W)
        peak = tl.maximum(peak, tl.load(scores + row * columns + column, covers, other=float("-inf")))
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    weights = tl.zeros((PIXELS,), tl.float32)
    for offset in tl.static_range(S * S):
        row, column = y - offset // S, x - offset % S
        covers = (row >= 0) & (row < rows) & (column >= 0) & (column < columns) & (pixel < H * W)
        score = tl.load(scores + row * columns + column, covers, other=float("-inf"))
        weight = tl.where(covers, tl.exp(score - peak), 0.0)
        label = tl.load(labels + row * columns + column, covers, other=0)
        color = centers + label[:, None] * d + channel * (S * S) + offset
        total += weight[:, None] * tl.load(color, covers[:, None] & (channel < channels), other=0.0)
        weights += weight
    inside = (pixel < H * W)[:, None] & (channel < channels)
    colors = total / weights[:, None] + tl.load(levels + number * channels + channel, channel < channels)
    tl.store(out + (number * channels + channel) * H * W + pixel[:, None], colors, inside)
