"""Lloyd's algorithm on point sets in memory, each in one program for all steps.

Tensor cores compute with a number as the sum of two float16, which hold 22 of its 24 bits.
"""
# mypy: disallow-untyped-defs=False

import triton
import triton.language as tl


@triton.jit
def split(numbers):
    """The float16 next to each number, and the float16 next to what is missing."""
    high = numbers.to(tl.float16)
    return high, (numbers - high.to(tl.float32)).to(tl.float16)


@triton.jit
def nearest(high, low, centers, k, ROWS: tl.constexpr, K: tl.constexpr):
    """The label of the nearest of k centers (K, D) for each point (ROWS, D): the lowest on a tie."""
    half_norms = tl.where(tl.arange(0, K) < k, 0.5 * tl.sum(centers * centers, 1), float("inf"))
    centers_high, centers_low = split(tl.trans(centers))
    # a point's own norm does not change the order
    nearness = tl.broadcast_to(-half_norms[None, :], (ROWS, K))
    nearness = tl.dot(low, centers_high, nearness)
    nearness = tl.dot(high, centers_low, nearness)
    return tl.argmax(tl.dot(high, centers_high, nearness), 1)


@triton.jit
def add_members(sums, high, low, label, K: tl.constexpr):
    """`sums` (K, D) and the points (R, D) of each label."""
    members = (label[None, :] == tl.arange(0, K)[:, None]).to(tl.float16)
    return tl.dot(members, high, tl.dot(members, low, sums))


@triton.jit
def means(sums, centers, d, D: tl.constexpr):
    """Means (K, D) of sums of points whose place d counts; without points the center stays."""
    place = tl.arange(0, D)[None, :]
    sizes = tl.sum(tl.where(place == d, sums, 0.0), 1)[:, None]
    return tl.where((sizes > 0) & (place < d), tl.div_rn(sums, tl.maximum(sizes, 1.0)), centers)


@triton.jit(do_not_specialize=["n", "n_padded", "max_steps"])
def lloyd_kernel(
    points, starts, out, labels, n, n_padded, d, k, max_steps,
    K: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, LABELS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """points (N, 2, n_padded, D): the two halves of each; place d of a point is 1, so that sums count."""
    number = tl.program_id(0).to(tl.int64)
    points += number * 2 * n_padded * D
    row, center, place = tl.arange(0, ROWS), tl.arange(0, K), tl.arange(0, D)
    inside = (center < k)[:, None] & (place < d)[None, :]
    where = (number * k + center[:, None]) * d + place[None, :]
    centers = tl.load(starts + where, inside, other=0.0)
    step = 0
    moved = True
    while (step < max_steps) & moved:
        sums = tl.zeros((K, D), tl.float32)
        for first in tl.range(0, n_padded, ROWS, num_stages=STAGES):
            tile = points + (first + row)[:, None] * D + place[None, :]
            high, low = tl.load(tile), tl.load(tile + n_padded * D)
            label = nearest(high, low, centers, k, ROWS, K)
            if LABELS:
                tl.store(labels + number * n + first + row, label.to(tl.int64), first + row < n)
            sums = add_members(sums, high, low, label, K)
        new = means(sums, centers, d, D)
        # no assignment changes where no mean does
        moved = tl.max(tl.max((new != centers).to(tl.int32), 1), 0) > 0
        centers = new
        step += 1
    tl.store(out + where, centers, inside)
