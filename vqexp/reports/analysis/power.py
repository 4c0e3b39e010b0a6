"""How many images it would take to tell two numbers apart, from the variance that was measured."""

import math
from statistics import NormalDist

POWER = 0.8  # the chance to see the difference if it is as large as it was here
TEST_IMAGES = 10_000  # of MNIST and CIFAR
MANY = 1_000_000


def images_needed(margin: float, half_width: float, n: int) -> float:
    """Returns how many images give a two-sided test at 5 % the power `POWER`; infinite for no difference.

    half_width: of the 95 % interval of the difference over `n` images, which tells its standard deviation.
    """
    from statsmodels.stats.power import normal_sample_size_one_tail  # takes a second to import

    if not margin or not math.isfinite(half_width) or n < 1:
        return math.inf
    deviation = half_width / NormalDist().inv_cdf(0.975) * math.sqrt(n)
    return float(normal_sample_size_one_tail(abs(margin), POWER, 0.025, std_null=deviation))


def in_words(needed: float) -> str:
    """Returns `about 2,300 images would decide it (power 0.8)`, or that no test set has as many."""
    if not math.isfinite(needed):
        return "undecidable here: values are equal, so no number of images can be named"
    count = math.ceil(float(f"{needed:.2g}"))
    told = f"about {count:,}" if count <= MANY else f"more than {MANY:,}"
    text = f"{told} images would decide it (power {POWER:g})"
    if count <= TEST_IMAGES:
        return text
    return f"undecidable here: {text}, and the test set has {TEST_IMAGES:,}"
