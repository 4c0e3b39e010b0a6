"""Bounds on the probabilities of the majority label and of the runner-up, from counts of labels."""

from collections.abc import Callable

import numpy as np
from scipy.stats import beta

# counts (n, classes), labels (n,), alpha -> (p1 (n,), p2 (n,))
Bounds = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]


def clopper_pearson(counts: np.ndarray, labels: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """One-sided exact bounds, each at alpha / classes (Bonferroni): all hold at once with at least 1 - alpha.

    counts: (n, classes), of independent draws. labels: (n,), named before the draws. Returns the lower bound
    p1 of the label's probability, and the upper bound p2 of the largest other one. (Clopper & Pearson 1934)
    """
    own, others, total = _split(counts, labels)
    level = alpha / counts.shape[1]
    return _lower(own, total, level), _upper(others, total[:, None], level).max(1)


def binary(counts: np.ndarray, labels: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """The label against all others together, at alpha: p2 is 1 - p1. (Cohen et al. 2019, CERTIFY)"""
    own, _, total = _split(counts, labels)
    p1 = _lower(own, total, alpha)
    return p1, 1 - p1


def sison_glaz(counts: np.ndarray, labels: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous intervals of multinomial proportions. (Sison & Glaz 1995)

    They are approximate, and no guarantee follows where nearly all votes agree: unanimous ones give p1 = 1
    and p2 = 0, an infinite radius, however few they are. The released code of Li et al. uses such a routine.
    """
    from statsmodels.stats.proportion import multinomial_proportions_confint  # takes a second to import

    # slow, and the same for counts in another order
    patterns, which = np.unique(np.sort(counts, 1), axis=0, return_inverse=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # unanimous votes
        found = np.stack(
            [multinomial_proportions_confint(row, alpha, method="sison-glaz") for row in patterns]
        )
    rows, ranks = np.arange(len(counts)), counts.argsort(1).argsort(1)
    bounds = found[which[:, None], ranks]
    upper = bounds[:, :, 1].copy()
    upper[rows, labels] = 0
    return bounds[rows, labels, 0], upper.max(1)


INTERVALS: dict[str, Bounds] = {
    "clopper_pearson": clopper_pearson,
    "binary": binary,
    "sison_glaz": sison_glaz,
}


def _split(counts: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of the label (n,), of the others (n, classes) with 0 in the label's place, and of all (n,)."""
    rows, others = np.arange(len(counts)), counts.copy()
    others[rows, labels] = 0
    return counts[rows, labels], others, counts.sum(1)


def _lower(successes: np.ndarray, total: np.ndarray, level: float) -> np.ndarray:
    return np.where(successes > 0, beta.ppf(level, successes, total - successes + 1), 0.0)


def _upper(successes: np.ndarray, total: np.ndarray, level: float) -> np.ndarray:
    return np.where(successes < total, beta.ppf(1 - level, successes + 1, total - successes), 1.0)
