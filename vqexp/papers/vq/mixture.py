"""Gaussian mixtures by expectation maximization, for a whole batch of point sets at once, on any device.

scikit-learn's GaussianMixture does the same, one set at a time and on the CPU alone; it is the reference in
the tests. Shapes: points (B, N, d), K components; all in float64.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.defenses.vq import kmeans

COVARIANCES = ("full", "diag")
AT_ONCE = 2**27  # numbers in one intermediate tensor


@dataclass
class Mixture:
    """B mixtures: log_weights (B, K), means (B, K, d), and of each covariance matrix the root.

    root: full, its lower Cholesky factor (B, K, d, d); diag, the standard deviations (B, K, d).
    """

    log_weights: Tensor
    means: Tensor
    root: Tensor

    def __getitem__(self, sets: slice | Tensor) -> "Mixture":
        """The mixtures of some of the sets."""
        return Mixture(self.log_weights[sets], self.means[sets], self.root[sets])

    def __setitem__(self, sets: Tensor, other: "Mixture") -> None:
        """Replace the mixtures of some of the sets."""
        self.log_weights[sets], self.means[sets], self.root[sets] = other.log_weights, other.means, other.root

    @property
    def full(self) -> bool:
        """Covariances are full matrices."""
        return self.root.dim() == 4

    def log_joint(self, points: Tensor) -> Tensor:
        """log of weight times density of each component, (B, N, d) or (1, N, d) for all -> (B, N, K)."""
        columns = []
        for k in range(self.means.shape[1]):
            centered, root = points - self.means[:, k : k + 1], self.root[:, k]
            if self.full:
                scaled = torch.linalg.solve_triangular(root, centered.transpose(1, 2), upper=False)
                squares, scales = scaled.square_().sum(1), root.diagonal(dim1=1, dim2=2)
            else:
                squares, scales = (centered / root.unsqueeze(1)).square_().sum(2), root
            log_scale = scales.log().sum(1) + points.shape[2] / 2 * math.log(2 * math.pi)
            columns.append(self.log_weights[:, k : k + 1] - log_scale.unsqueeze(1) - squares / 2)
        return torch.stack(columns, 2)

    def log_density(self, points: Tensor) -> Tensor:
        """(B, N, d) -> (B, N), in nats; in blocks of points."""
        block = max(1, AT_ONCE // (len(self.means) * points.shape[2]))
        return torch.cat([self.log_joint(some).logsumexp(2) for some in points.split(block, 1)], 1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n points of each mixture, (B, n, d)."""
        B, K, d = self.means.shape
        drawn = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        points = torch.empty(B, n, d, dtype=self.means.dtype, device=self.means.device)
        points.normal_(generator=generator)
        for b in range(B):
            for k in range(K):
                rows = drawn[b] == k
                noise, root = points[b, rows], self.root[b, k]
                points[b, rows] = self.means[b, k] + (noise @ root.T if self.full else noise * root)
        return points


@torch.no_grad()
def fit(
    points: Tensor,
    labels: Tensor,
    components: int,
    *,
    covariance: str,
    regularization: float,
    tolerance: float = 1e-3,
    max_steps: int = 100,
) -> Mixture:
    """Maximum likelihood by EM from hard `labels` (B, N) in [0, components).

    regularization: added to all variances, >= 0. A set is done once the mean log-likelihood of its points
    gains less than `tolerance` in a step, or after `max_steps`. Defaults are scikit-learn's.
    """
    points = points.double()
    shares = torch.nn.functional.one_hot(labels, components).to(points.dtype)
    mixture = _maximize(points, shares, covariance, regularization)
    final = mixture[:]
    open_rows = torch.arange(len(points), device=points.device)
    before = torch.full_like(points[:, 0, 0], -torch.inf)
    for _ in range(max_steps):
        joint = mixture.log_joint(points)
        total = joint.logsumexp(2, keepdim=True)
        mixture = _maximize(points, (joint - total).exp(), covariance, regularization)
        final[open_rows] = mixture
        now = total.mean((1, 2))
        moving = (now - before).abs() >= tolerance
        if not moving.any():
            break
        before = now
        if not moving.all():
            points, before = points[moving], now[moving]
            open_rows, mixture = open_rows[moving], mixture[moving]
    return final


def _maximize(points: Tensor, shares: Tensor, covariance: str, regularization: float) -> Mixture:
    """The M step: points (B, N, d), responsibilities (B, N, K)."""
    N = points.shape[1]
    sizes = shares.sum(1) + 10 * torch.finfo(points.dtype).eps
    means = shares.transpose(1, 2) @ points / sizes.unsqueeze(2)
    roots = []
    for k in range(shares.shape[2]):
        centered = points - means[:, k : k + 1]
        weighted = centered * shares[:, :, k : k + 1] / sizes[:, k, None, None]
        if covariance == "diag":
            roots.append(((centered * weighted).sum(1) + regularization).sqrt())
        else:
            matrix = weighted.transpose(1, 2) @ centered
            matrix.diagonal(dim1=1, dim2=2).add_(regularization)
            roots.append(torch.linalg.cholesky(matrix))
    return Mixture((sizes / N).log(), means, torch.stack(roots, 1))


def k_means_labels(points: Tensor, components: int, draw: Draw) -> Tensor:
    """Where EM starts: clusters of the project's own k-means from k-means++, (B, N, d) -> (B, N)."""
    points = points.double()
    streams = Streams(0, draw.resolve(len(points)), points.device)
    start = kmeans.gather_rows(points, kmeans.starts(points, components, "k-means++", streams))
    return kmeans.lloyd(points, start, 100)[1]


@torch.no_grad()
def divergence(p: Mixture, q: Mixture, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """KL(p || q) from n points of p (journal, eq. 12), and its standard error: (B,) each, in nats.

    B pairs, or a single p and B others. A Monte-Carlo estimate, which can be below zero.
    """
    points = p.sample(n, generator)
    terms = p.log_density(points) - q.log_density(points)
    return terms.mean(1), terms.std(1) / math.sqrt(n)
