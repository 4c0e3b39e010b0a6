"""One measured quantity with its spread and its uncertainty."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """mean and std over `runs`, a 95 % interval over `n` images; all fractions in [0, 1].

    The interval is Wilson's with the mean over the runs as the proportion: conservative, because a mean
    over several draws varies less than a single one.
    """

    mean: float
    std: float
    runs: int
    n: int
    ci95: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the record."""
        return {**asdict(self), "ci95": list(self.ci95)}


def proportion(outcomes: Tensor, rows: Tensor | None = None) -> Estimate:
    """Share of true entries in `outcomes` (runs, n), over the images marked by `rows` (n,) if given.

    With no images left the mean is NaN and the interval all of [0, 1].
    """
    from statsmodels.stats.proportion import proportion_confint  # takes a second to import

    if rows is not None:
        outcomes = outcomes[:, rows]
    runs, n = outcomes.shape
    if n == 0:
        return Estimate(math.nan, math.nan, runs, 0, (0.0, 1.0))
    per_run = outcomes.double().mean(1)
    mean = float(per_run.mean())
    std = float(torch.std(per_run, correction=1)) if runs > 1 else 0.0
    low, high = proportion_confint(mean * n, n, alpha=0.05, method="wilson")
    ci95 = min(float(low), mean), max(float(high), mean)  # by rounding it can miss a mean of 0 or 1
    return Estimate(mean, std, runs, n, ci95)
