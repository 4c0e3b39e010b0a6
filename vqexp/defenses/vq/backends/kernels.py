"""k-means and reassembly of one image, compiled by numba.

Arrays are C-contiguous; points (n, d) and centers (k, d) are float32, labels (n,) int64. Nothing here holds
the interpreter lock. Compiled code is kept in `__pycache__` beside this file, or, where that cannot be
written, in the user's cache folder; `NUMBA_CACHE_DIR` names another.
Loops stand where numpy has one expression: numba compiles them in a tenth of the time.
"""

import math

import numpy as np
from numba import njit

BLOCK = 256  # points whose distances are computed together
PITCH = BLOCK + 16  # no power of two: rows of a block would share a few lines of the cache

# products may be fused with sums, which rounds once in place of twice
compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
# sums in any order: only where their rounding decides nothing
reordered = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})


@reordered
def _dot(a, i, b, c):  # type: ignore[no-untyped-def]
    """a[i] @ b[c]. A slice would cost more than the product."""
    total = np.float32(0)
    for j in range(a.shape[1]):
        total += a[i, j] * b[c, j]
    return total


@compiled
def _padded(centers):  # type: ignore[no-untyped-def]
    """Centers in an even number of rows and a multiple of four columns, and half their squared norms.

    A row that is there for padding is infinitely far from everything.
    """
    k, d = centers.shape
    table, half = np.zeros((k + k % 2, d + -d % 4), np.float32), np.empty(k + k % 2, np.float32)
    half[-1] = np.inf
    for c in range(k):
        for j in range(d):
            table[c, j] = centers[c, j]
        half[c] = np.float32(0.5) * _dot(table, c, table, c)
    return table, half


@compiled
def _workspace(d):  # type: ignore[no-untyped-def]
    """What `_nearest_two` computes in: points as columns; scores, best and second; labels."""
    columns = np.zeros((d + -d % 4, PITCH), np.float32)
    return columns, np.empty((4, PITCH), np.float32), np.empty(PITCH, np.int32)


@compiled
def _nearest_two(points, index, count, table, half, columns, scores, label):  # type: ignore[no-untyped-def]
    """For each of the points index[:count] the label of its nearest center; the lowest label wins a tie.

    scores[2] and scores[3] tell how far the nearest and the second nearest are: ||p - c||^2 / 2 less the
    point's own norm, which does not change the order. Vectorized over points, for two centers and four
    dimensions at a time.
    """
    for t in range(count):
        row = index[t]
        for j in range(points.shape[1]):
            columns[j, t] = points[row, j]
    m = count + -count % 16
    for i in range(m):
        scores[2, i] = scores[3, i] = np.inf
    for c in range(0, len(table), 2):
        h0, h1 = half[c], half[c + 1]
        a0, a1, a2, a3 = table[c, 0], table[c, 1], table[c, 2], table[c, 3]
        b0, b1, b2, b3 = table[c + 1, 0], table[c + 1, 1], table[c + 1, 2], table[c + 1, 3]
        for i in range(m):
            x0, x1, x2, x3 = columns[0, i], columns[1, i], columns[2, i], columns[3, i]
            scores[0, i] = h0 - a0 * x0 - a1 * x1 - a2 * x2 - a3 * x3
            scores[1, i] = h1 - b0 * x0 - b1 * x1 - b2 * x2 - b3 * x3
        for j in range(4, len(columns), 4):
            a0, a1, a2, a3 = table[c, j], table[c, j + 1], table[c, j + 2], table[c, j + 3]
            b0, b1, b2, b3 = table[c + 1, j], table[c + 1, j + 1], table[c + 1, j + 2], table[c + 1, j + 3]
            for i in range(m):
                x0, x1, x2, x3 = columns[j, i], columns[j + 1, i], columns[j + 2, i], columns[j + 3, i]
                scores[0, i] = scores[0, i] - a0 * x0 - a1 * x1 - a2 * x2 - a3 * x3
                scores[1, i] = scores[1, i] - b0 * x0 - b1 * x1 - b2 * x2 - b3 * x3
        even, odd = np.int32(c), np.int32(c + 1)
        for i in range(m):
            swapped = scores[1, i] < scores[0, i]
            near = scores[1, i] if swapped else scores[0, i]
            far = scores[0, i] if swapped else scores[1, i]
            best, second, before = scores[2, i], scores[3, i], label[i]
            nearer = near < best
            third = best if nearer else near
            second = far if far < second else second
            scores[3, i] = third if third < second else second
            scores[2, i] = near if nearer else best
            label[i] = (odd if swapped else even) if nearer else before


@compiled
def lloyd(points, centers, labels, max_steps):  # type: ignore[no-untyped-def]
    """Lloyd's algorithm from `centers`, in place: at most `max_steps` steps, until no assignment changes.

    Hamerly's bounds leave out the points that cannot change: `upper` is at least the distance to a point's
    own center, `lower` at most that to any other. `slack` is more than rounding can do to a squared distance,
    so that the labels are those that all distances would give. A tighter `upper`, from the distance to the
    own center, costs more than it saves. Sums are in float64, hence as good as exact.
    """
    n, d = points.shape
    k = len(centers)
    zero, two = np.float32(0), np.float32(2)
    sums, sizes, moves = np.zeros((k, d)), np.zeros(k, np.int64), np.zeros(k, np.float32)
    upper, lower, norms = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    largest = zero
    for i in range(n):
        upper[i], lower[i] = np.inf, -np.inf
        norms[i] = _dot(points, i, points, i)
        largest = max(largest, norms[i])
    for c in range(k):
        largest = max(largest, _dot(centers, c, centers, c))
    slack = np.float32(5e-7) * np.float32(d + 4) * largest
    index = np.empty(BLOCK, np.int64)
    columns, scores, label = _workspace(d)
    for step in range(max(max_steps, 1)):
        table, half = _padded(centers)
        farthest, most, next_most = 0, moves[0], zero
        for c in range(1, k):
            next_most = max(next_most, min(most, moves[c]))
            if moves[c] > most:
                farthest, most = c, moves[c]
        changed, count = False, 0
        for i in range(n):
            if step > 0:
                own = labels[i]
                lower[i] -= next_most if own == farthest else most
                upper[i] += moves[own]
            if upper[i] >= lower[i]:
                index[count] = i
                count += 1
            if count == BLOCK or (i == n - 1 and count > 0):
                _nearest_two(points, index, count, table, half, columns, scores, label)
                for t in range(count):
                    row, new = index[t], label[t]
                    upper[row] = np.sqrt(max(norms[row] + two * scores[2, t], zero) + slack)
                    lower[row] = np.sqrt(max(norms[row] + two * scores[3, t] - slack, zero))
                    old = labels[row]
                    if step == 0 or new != old:
                        changed = True
                        labels[row] = new
                        sizes[new] += 1
                        for j in range(d):
                            sums[new, j] += points[row, j]
                        if step > 0:
                            sizes[old] -= 1
                            for j in range(d):
                                sums[old, j] -= points[row, j]
                count = 0
        if not changed or max_steps == 0:
            break
        for c in range(k):
            square = 0.0
            for j in range(d):
                mean = np.float32(sums[c, j] / sizes[c]) if sizes[c] > 0 else centers[c, j]
                square += (float(mean) - float(centers[c, j])) ** 2
                centers[c, j] = mean
            # rounded up, and by more than the sum of a bound and a move can lose
            moves[c] = math.sqrt(square) * (1 + 1e-6) + 1e-6 * math.sqrt(largest) if square > 0 else zero


@reordered
def _reach(points, index, closest, out):  # type: ignore[no-untyped-def]
    """Into `out`, each point's squared distance to its nearest center once the point `index` is one: its sum.

    points: (d, n) float64.
    """
    d, n = points.shape
    for i in range(n):
        difference = points[0, i] - points[0, index]
        out[i] = difference * difference
    for j in range(1, d):
        for i in range(n):
            difference = points[j, i] - points[j, index]
            out[i] += difference * difference
    total = 0.0
    for i in range(n):
        out[i] = min(out[i], closest[i])
        total += out[i]
    return total


@compiled
def plus_plus(rows, chance, chosen):  # type: ignore[no-untyped-def]
    """Writes the indices of the points that k-means++ starts from.

    chance: (k, candidates) float64, uniform on [0, 1).
    """
    n, d = rows.shape
    points = np.empty((d, n))
    for i in range(n):
        for j in range(d):
            points[j, i] = rows[i, j]
    k, candidates = chance.shape
    closest, trial, cumulative = np.full(n, np.inf), np.empty(n), np.empty(n)
    best_reach = np.empty(n)
    chosen[0] = min(int(chance[0, 0] * n), n - 1)
    _reach(points, chosen[0], closest, best_reach)
    for step in range(1, k):
        closest, best_reach = best_reach, closest
        total = 0.0
        for i in range(n):
            total += closest[i]
            cumulative[i] = total
        least = np.float32(np.inf)
        for candidate in range(candidates):
            index = min(np.searchsorted(cumulative, chance[step, candidate] * total, side="right"), n - 1)
            # rounded, so that rounding does not decide between candidates that lower the inertia equally
            found = np.float32(_reach(points, index, closest, trial))
            if found < least:
                least = found
                chosen[step] = index
                best_reach, trial = trial, best_reach


@compiled
def blend(patches, similarity, s, image):  # type: ignore[no-untyped-def]
    """Writes the image (C, H, W): each pixel a mean over its patches, weighted by softmax(similarity)."""
    C, H, W = image.shape
    rows, columns = H - s + 1, W - s + 1
    peak = np.empty((H, W), np.float32)
    peak[:] = -np.inf
    for dy in range(s):
        for dx in range(s):
            for y in range(rows):
                for x in range(columns):
                    peak[y + dy, x + dx] = max(peak[y + dy, x + dx], similarity[y * columns + x])
    weights, weight = np.zeros((H, W), np.float32), np.empty(columns, np.float32)
    image[:] = 0
    for dy in range(s):
        for dx in range(s):
            for y in range(rows):
                for x in range(columns):
                    weight[x] = math.exp(similarity[y * columns + x] - peak[y + dy, x + dx])
                    weights[y + dy, x + dx] += weight[x]
                for channel in range(C):
                    place = (channel * s + dy) * s + dx
                    for x in range(columns):
                        image[channel, y + dy, x + dx] += weight[x] * patches[y * columns + x, place]
    for channel in range(C):
        for y in range(H):
            for x in range(W):
                image[channel, y, x] /= weights[y, x]
