"""One measured quantity with its spread and its uncertainty."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FRACTION = "fraction"


@dataclass(frozen=True)
class Estimate:
    """mean and std over `runs`, a 95 % interval over `n` images.

    Without images the mean is NaN; where nothing is known of the interval, its ends are infinite.
    unit: `fraction` (in [0, 1]), `dB`, `nats`, or empty for a plain number. title: what tables call it.
    """

    mean: float
    std: float
    runs: int
    n: int
    ci95: tuple[float, float]
    unit: str = FRACTION
    title: str = ""

    @property
    def known(self) -> bool:
        """Whether there was something to average."""
        return not math.isnan(self.mean)

    @property
    def scale(self) -> float:
        """100 for a fraction, which is shown in percent; 1 for anything with a unit of its own."""
        return 100.0 if self.unit == FRACTION else 1.0


def proportion(outcomes: Tensor, rows: Tensor | None = None, *, title: str = "") -> Estimate:
    """Share of true entries in `outcomes` (runs, n), over the images marked by `rows` (n,) if given.

    Fractions in [0, 1] serve as well as outcomes. The interval is Wilson's with the mean over the runs as
    the proportion: conservative, because a mean over several draws, like any fraction, varies less than a
    single outcome with the same mean. With no images left the mean is NaN and the interval all of [0, 1].
    """
    from statsmodels.stats.proportion import proportion_confint  # takes a second to import

    if rows is not None:
        outcomes = outcomes[:, rows]
    runs, n = outcomes.shape
    if n == 0:
        return Estimate(math.nan, math.nan, runs, 0, (0.0, 1.0), title=title)
    per_run = outcomes.double().mean(1)
    mean = float(per_run.mean())
    std = float(torch.std(per_run, correction=1)) if runs > 1 else 0.0
    low, high = proportion_confint(mean * n, n, alpha=0.05, method="wilson")
    ci95 = min(float(low), mean), max(float(high), mean)  # by rounding it can miss a mean of 0 or 1
    return Estimate(mean, std, runs, n, ci95, title=title)


def average(values: Tensor, unit: str, title: str = "") -> Estimate:
    """Mean of a quantity that is no fraction: `values` (runs, n), or (n,) for a single run.

    NaN entries are left out (there is no such value), and images that have no others do not count in n.
    The interval is Student's over the images' means; for fewer than two images it is the whole line, and
    for none the mean is NaN.
    """
    from statsmodels.stats.weightstats import DescrStatsW  # takes a second to import

    values = values.double()
    values = values.unsqueeze(0) if values.dim() == 1 else values
    runs = len(values)
    per_image = values.nanmean(0)
    per_image = per_image[~per_image.isnan()]
    n, mean = len(per_image), float(per_image.mean())
    std = float(torch.std(values.nanmean(1), correction=1)) if runs > 1 else 0.0
    low, high = DescrStatsW(per_image.numpy()).tconfint_mean() if n > 1 else (-math.inf, math.inf)
    return Estimate(mean, std, runs, n, (float(low), float(high)), unit, title)
