"""One measured quantity with its spread and its uncertainty."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

FRACTION = "fraction"


@dataclass(frozen=True)
class Estimate:
    """mean and std over `runs`, a 95 % interval over `n` images.

    Without images the mean is NaN; where nothing is known of the interval, its ends are infinite.
    unit: `fraction` (in [0, 1]), `dB`, `nats`, or empty for a plain number. title: what tables call it.
    trainings: the means of several trainings of f, of which this is the mean; `std` is then theirs, and the
    interval allows for it. Empty for a single f.
    """

    mean: float
    std: float
    runs: int
    n: int
    ci95: tuple[float, float]
    unit: str = FRACTION
    title: str = ""
    trainings: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there was something to average."""
        return not math.isnan(self.mean)

    @property
    def exact(self) -> bool:
        """Whether it is known of f itself, as a sum of its weights is: no sample's, though n is 1."""
        return self.n == 1 and self.unit != FRACTION and math.isfinite(sum(self.ci95))

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


def exact(value: float, title: str = "") -> Estimate:
    """A plain number that is no sample's, with an interval of no width."""
    return Estimate(value, 0.0, 1, 1, (value, value), "", title)


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


def pooled(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over two or more trainings of f that were measured on the same images.

    Half the interval's width is the root of two summed squares: of the mean half width over the images,
    which all trainings share, and of Student's over the trainings. n is the least of theirs, which differ
    where some images have no value.
    """
    first, means = estimates[0], [each.mean for each in estimates]
    mean = statistics.fmean(means)
    over = spread(means)
    lows, highs = ([each.ci95[end] for each in estimates] for end in (0, 1))
    low = mean - math.hypot(mean - statistics.fmean(lows), over)
    high = mean + math.hypot(statistics.fmean(highs) - mean, over)
    if first.unit == FRACTION:
        low, high = max(0.0, low), min(1.0, high)
    return replace(
        first,
        mean=mean,
        std=statistics.stdev(means),
        runs=min(each.runs for each in estimates),
        n=min(each.n for each in estimates),
        ci95=(low, high),
        trainings=tuple(means),
    )


def spread(*groups: Sequence[float], counts: Sequence[int] | None = None) -> float:
    """Half of the 95 % interval of a group's mean or, of two, of their means' difference (Student, Welch).

    Groups of fewer than two values say nothing, and add nothing. counts: how many values of the same variance
    each group is to stand for; by default as many as it has.
    """
    from scipy.stats import t

    sizes = counts or [len(group) for group in groups]
    known = [(group, size) for group, size in zip(groups, sizes, strict=True) if len(group) > 1]
    parts = [(statistics.variance(group) / size, size) for group, size in known]
    total = sum(part for part, _ in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(part**2 / (size - 1) for part, size in parts)
    return float(t.ppf(0.975, freedom)) * math.sqrt(total)
