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
    """mean and std over `runs`, a 95 % interval over `n` images and, where they share them, the runs' draws.

    Without images the mean is NaN; where nothing is known of the interval, its ends are infinite.
    unit: `fraction` (in [0, 1]), `dB`, `nats`, or empty for a plain number. title: what tables call it.
    trainings: the means of several trainings of f, of which this is the mean; `std` is then theirs, and the
    interval allows for it. Empty for a single f. shared: one draw served all images of a run, so that `std`
    says how far the mean may be off, however many images there are.
    """

    mean: float
    std: float
    runs: int
    n: int
    ci95: tuple[float, float]
    unit: str = FRACTION
    title: str = ""
    trainings: tuple[float, ...] = ()
    shared: bool = False

    @property
    def over_draws(self) -> float:
        """Half the 95 % interval (Student) that shared draws alone would give the mean; 0 if none are shared.

        0 for several trainings, too, whose own spread includes it.
        """
        return student(self.std, self.runs) if self.shared and not self.trainings else 0.0

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


def proportion(
    outcomes: Tensor, rows: Tensor | None = None, *, title: str = "", shared: bool = False
) -> Estimate:
    """Share of true entries in `outcomes` (runs, n), over the images marked by `rows` (n,) if given.

    Fractions in [0, 1] serve as well as outcomes. The interval is Wilson's with the mean over the runs as
    the proportion: conservative, because a mean over several draws, like any fraction, varies less than a
    single outcome with the same mean. That holds while each image has draws of its own. shared: one draw
    serves all images of a run, as random weights do; the interval is then joined with Student's over the
    runs' means (`widened`), and a single run says nothing of other draws. With no images left the mean is
    NaN and the interval all of [0, 1].
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
    return _with_draws(Estimate(mean, std, runs, n, ci95, title=title, shared=shared))


def exact(value: float, title: str = "") -> Estimate:
    """A plain number that is no sample's, with an interval of no width."""
    return Estimate(value, 0.0, 1, 1, (value, value), "", title)


def average(values: Tensor, unit: str, title: str = "", *, shared: bool = False) -> Estimate:
    """Mean of a quantity that is no fraction: `values` (runs, n), or (n,) for a single run.

    NaN entries are left out (there is no such value), and images that have no others do not count in n.
    The interval is Student's over the images' means, and allows for `shared` draws as that of `proportion`
    does; for fewer than two images it is the whole line, and for none the mean is NaN.
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
    return _with_draws(Estimate(mean, std, runs, n, (float(low), float(high)), unit, title, shared=shared))


def pooled(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over two or more trainings of f that were measured on the same images.

    Half the interval's width is the root of two summed squares: of the mean half width over the images,
    which all trainings share, and of Student's over the trainings, whose means their draws move too. n is
    the least of theirs, which differ where some images have no value.
    """
    first, means = estimates[0], [each.mean for each in estimates]
    mean = statistics.fmean(means)
    below, above = (
        statistics.fmean(_without(abs(each.mean - each.ci95[end]), each.over_draws) for each in estimates)
        for end in (0, 1)
    )
    return replace(
        first,
        mean=mean,
        std=statistics.stdev(means),
        runs=min(each.runs for each in estimates),
        n=min(each.n for each in estimates),
        ci95=widened(mean, (mean - below, mean + above), spread(means), first.unit),
        trainings=tuple(means),
    )


def _with_draws(estimate: Estimate) -> Estimate:
    """The estimate, whose interval is over images alone, with one that allows for the draws they share."""
    if not estimate.shared:
        return estimate
    ends = widened(estimate.mean, estimate.ci95, estimate.over_draws, estimate.unit)
    return replace(estimate, ci95=ends)


def widened(mean: float, ends: tuple[float, float], half: float, unit: str) -> tuple[float, float]:
    """An interval around a mean, joined with an independent one that is `half` wide on either side.

    Each new half width is the root of the two summed squares. Fractions stay in [0, 1].
    """
    low, high = mean - math.hypot(mean - ends[0], half), mean + math.hypot(ends[1] - mean, half)
    return (max(0.0, low), min(1.0, high)) if unit == FRACTION else (low, high)


def _without(half: float, part: float) -> float:
    """The half width that `widened` joined with `part` to `half`."""
    return math.sqrt(max(0.0, half**2 - part**2))


def student(std: float, count: int, tail: float = 0.025) -> float:
    """Half of Student's interval of a mean of `count` values with a standard deviation; 0 for a single one.

    tail: the chance of a mean beyond either of its ends.
    """
    from scipy.stats import t

    return float(t.isf(tail, count - 1)) * std / math.sqrt(count) if count > 1 and std > 0 else 0.0


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
