"""How many images it would take to tell two numbers apart, from the variance that was measured.

Where the numbers are means over several trainings of f, these differ too, and more images do not change that.
What is asked for then is more trainings. Nor do more images change what draws that they share do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from vqexp.core.estimate import spread

POWER = 0.8  # the chance to see the difference if it is as large as it was here
TEST_IMAGES = 10_000  # of MNIST and CIFAR
MANY = 1_000_000
MORE_TRAININGS = (4, 5, 6, 8, 10, 15, 20, 30, 50, 100)


@dataclass(frozen=True)
class Needed:
    """What would decide a claim. images: infinite where no number of them would.

    trainings: of f, if more than were made are needed; None if not. equal: values are the same, so nothing
    can be named. draws: what stands in the way is draws that all images share.
    """

    images: float
    trainings: int | None = None
    equal: bool = False
    draws: bool = False

    def __str__(self) -> str:
        """`about 2,300 images would decide it (power 0.8)`, or that no test set has as many."""
        if not math.isfinite(self.images):
            differ = f"{'draws' if self.draws else 'trainings of f'} differ too much"
            why = "values are equal" if self.equal else differ
            return f"undecidable here: {why}, so no number of images can be named"
        count = math.ceil(float(f"{self.images:.2g}"))
        told = f"about {count:,}" if count <= MANY else f"more than {MANY:,}"
        if self.trainings:
            return f"about {self.trainings} trainings of f on {told} images would decide it (power {POWER:g})"
        text = f"{told} images would decide it (power {POWER:g})"
        if count <= TEST_IMAGES:
            return text
        return f"undecidable here: {text}, and the test set has {TEST_IMAGES:,}"


def images_needed(margin: float, half_width: float, n: int, over: float = 0.0) -> float:
    """Returns how many images give a two-sided test at 5 % the power `POWER`; infinite where none do.

    half_width: of the 95 % interval of the difference over `n` images, which tells its standard deviation.
    over: of the interval that the trainings of f and shared draws alone give it, which more images leave as
    it is.
    """
    from statsmodels.stats.power import normal_sample_size_one_tail  # takes a second to import

    normal = NormalDist()
    alone = over * (normal.inv_cdf(0.975) + normal.inv_cdf(POWER)) / normal.inv_cdf(0.975)
    if abs(margin) <= alone or not math.isfinite(half_width) or n < 1:
        return math.inf
    deviation = half_width / normal.inv_cdf(0.975) * math.sqrt(n)
    left = math.sqrt(margin**2 - alone**2)  # squares of deviations add up
    return float(normal_sample_size_one_tail(left, POWER, 0.025, std_null=deviation))


def needed(
    images: Callable[[int | None], float], *, trained: bool, equal: bool, draws: bool = False
) -> Needed:
    """Returns the fewest trainings that decide a claim on a test set, with the images that this takes.

    images: how many it takes with so many trainings of each f, or with those that were made (None). trained:
    whether any number is a mean over several. draws: whether images share the draws of any other.
    """
    now = images(None)
    if now > TEST_IMAGES and trained:
        for count in MORE_TRAININGS:
            if (found := images(count)) <= TEST_IMAGES:
                return Needed(found, count)
    return Needed(now, equal=equal, draws=draws and not trained)


def over_trainings(groups: Sequence[Sequence[float]], count: int | None = None) -> float:
    """Returns half the 95 % interval that trainings give a difference, had each group `count` of them.

    groups: the values by training, of each side. A group with as many or more keeps its own.
    """
    return spread(*groups, counts=[max(count or 0, len(group)) for group in groups])
