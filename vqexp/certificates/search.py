"""The maximum of many functions of one variable at once."""

from collections.abc import Callable

import numpy as np

GOLDEN = (np.sqrt(5) - 1) / 2


def maximum(
    function: Callable[[np.ndarray], np.ndarray], low: float, high: float, *, grid: int
) -> np.ndarray:
    """Returns the maxima (n,) over [low, high] of n functions: a grid, then golden-section search.

    function: points (n or 1, m) -> values (n, m). Each function has one maximum between neighbours of the
    grid. The result is a value that the function takes, so it is never above the supremum.
    """
    points = np.linspace(low, high, grid)
    values = function(points[None])
    best = values.argmax(1)
    left, right = points[np.maximum(best - 1, 0)], points[np.minimum(best + 1, grid - 1)]
    found = values.max(1)
    for _ in range(60):
        inner = np.stack([right - GOLDEN * (right - left), left + GOLDEN * (right - left)], 1)
        pair = function(inner)
        found = np.maximum(found, pair.max(1))
        lower = pair[:, 0] < pair[:, 1]
        left, right = np.where(lower, inner[:, 0], left), np.where(lower, right, inner[:, 1])
    return found
