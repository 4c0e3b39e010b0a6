"""k-means on a whole batch of point sets at once, each with a codebook of its own, on any device.

Shapes: points (B, n, d), centers (B, k, d), labels (B, n) int64 in [0, k).
"""

import math

import torch
from torch import Tensor

from vqexp.core.draws import Streams

STARTS = ("random", "k-means++")


def default_start(s: int) -> str:
    """k-means++ for single pixels, as RandDisc has it; random patches otherwise, as pRD and swRD have it."""
    return "k-means++" if s == 1 else "random"


def gather_rows(rows: Tensor, index: Tensor) -> Tensor:
    """`rows[b, index[b, i]]`: (B, m, d) and (B, n) int64 -> (B, n, d). Differentiable in `rows`."""
    return rows.gather(1, index.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))


@torch.no_grad()
def nearest(points: Tensor, centers: Tensor) -> Tensor:
    """Label of each point's nearest center (the lowest label on a tie), (B, n)."""
    half_norms = centers.square().sum(-1).mul_(0.5)
    # ||p - c||^2 / 2 less the point's own norm, which does not change the order
    distances = torch.baddbmm(half_norms.unsqueeze(1), points, centers.transpose(1, 2), alpha=-1)
    return distances.min(-1).indices


def cluster_sums(points: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Sum of each cluster's points, (B, k, d) float64, and its size, (B, k, 1).

    In float64 the order of summation, which changes with batch size and threads, is lost in rounding, where
    in float32 it decides ties between centers. On a GPU a matrix product, not a scatter, because the latter's
    order differs from run to run.
    """
    B, n, d = points.shape
    wide = points.double()
    if points.device.type == "cpu":
        rows = (labels + k * torch.arange(B).unsqueeze(1)).flatten()
        sizes = torch.bincount(rows, minlength=B * k).view(B, k, 1)
        sums = wide.new_zeros(B * k, d).scatter_add(0, rows.unsqueeze(1).expand(-1, d), wide.flatten(0, 1))
    else:
        members = wide.new_zeros(B, k, n).scatter_(1, labels.unsqueeze(1), 1)
        sizes = members.sum(-1, keepdim=True)
        sums = torch.bmm(members, wide)
    return sums.view(B, k, d), sizes


def means(sums: Tensor, sizes: Tensor, fallback: Tensor) -> Tensor:
    """Mean of each cluster, in the dtype of `fallback`, whose row an empty cluster takes."""
    return torch.where(sizes > 0, (sums / sizes.clamp(min=1)).to(fallback.dtype), fallback)


def cluster_means(points: Tensor, labels: Tensor, fallback: Tensor) -> Tensor:
    """Mean of each cluster's points; an empty cluster takes its row of `fallback`.

    Differentiable in `points`: each receives its center's gradient divided by the cluster's size.
    """
    return means(*cluster_sums(points, labels, fallback.shape[1]), fallback)


@torch.no_grad()
def lloyd(points: Tensor, centers: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm from given centers: at most `max_steps` steps, until no assignment changes.

    Returns (centers, labels), the centers being the means of the labels' clusters. A point set that has
    converged leaves the batch, so a batch costs as much as its members do one by one.
    """
    final_centers, final_labels = centers.clone(), nearest(points, centers)
    open_rows = torch.arange(len(points), device=points.device)
    labels = final_labels.clone()
    for step in range(max_steps):
        centers = cluster_means(points, labels, centers)
        final_centers[open_rows], final_labels[open_rows] = centers, labels
        if step == max_steps - 1:
            break
        new_labels = nearest(points, centers)
        moved = (new_labels != labels).any(1)
        if not moved.any():
            break
        # compaction copies the points, so it has to pay
        if moved.sum() <= 0.8 * len(moved):
            points, centers, new_labels = points[moved], centers[moved], new_labels[moved]
            open_rows = open_rows[moved]
        labels = new_labels
    return final_centers, final_labels


def candidates_a_step(k: int) -> int:
    """How many candidates for its next center k-means++ compares: 2 + log(k), as scikit-learn does."""
    return 2 + int(math.log(k))


@torch.no_grad()
def starts(points: Tensor, k: int, init: str, streams: Streams) -> Tensor:
    """Indices (B, k) of the points that Lloyd's algorithm starts from.

    `random`: k different points. `k-means++` (Arthur & Vassilvitskii 2006): one after the other with
    probability proportional to the squared distance to the nearest center so far; of
    `candidates_a_step(k)` the one that lowers the inertia most.
    """
    n = points.shape[1]
    if init == "random":
        return streams.subset(n, k)
    candidates = candidates_a_step(k)
    # in float64, lest the rounding of a batched product decide which point is drawn
    points = points.double()
    chance = streams.uniform((k, candidates), torch.float64)
    norms = points.square().sum(-1)
    index = (chance[:, 0, :1] * n).long().clamp(max=n - 1)
    chosen = [index]
    closest = _squared_distances(points, norms, index).squeeze(1)
    # the same two large tensors for all steps: new ones would fragment the heap to several times their size
    cumulative = torch.empty_like(closest)
    reach = points.new_empty(len(points), candidates, n)
    for step in range(1, k):
        torch.cumsum(closest, -1, out=cumulative)
        levels = chance[:, step] * cumulative[:, -1:]
        index = torch.searchsorted(cumulative, levels, right=True).clamp(max=n - 1)
        _squared_distances(points, norms, index, out=reach)
        torch.minimum(closest.unsqueeze(1), reach, out=reach)
        # rounded, so that rounding does not decide between candidates that lower the inertia equally
        best = reach.sum(-1).float().argmin(-1, keepdim=True)
        chosen.append(index.gather(1, best))
        torch.gather(reach, 1, best.unsqueeze(-1).expand(-1, -1, n), out=closest.unsqueeze(1))
    return torch.cat(chosen, 1)


def _squared_distances(points: Tensor, norms: Tensor, index: Tensor, out: Tensor | None = None) -> Tensor:
    """Squared distances (B, m, n) from the points at `index` (B, m) to all points, into `out` if given."""
    distances = torch.bmm(gather_rows(points, index), points.transpose(1, 2), out=out)
    distances.mul_(-2).add_(norms.unsqueeze(1)).add_(norms.gather(1, index).unsqueeze(-1))
    # a chosen point is at distance zero exactly, so it is not drawn again while others remain
    return distances.clamp_(min=0).scatter_(2, index.unsqueeze(-1), 0.0)


@torch.no_grad()
def inertia(points: Tensor, centers: Tensor) -> Tensor:
    """Sum of squared distances to the nearest center, (B,)."""
    return (points - gather_rows(centers, nearest(points, centers))).square().sum((1, 2))
