"""What several draws change: an attacker who tries again, a defender who votes, and draws that disagree.

From the outcomes of R draws on each image, c of them right: N draws are N of these R without replacement, so
every number is unbiased and there is none for N > R.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.metrics import Member

TRIES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Tries:
    """number: N. every: share of images right in each of N tries; most: in more than half of N draws."""

    number: int
    every: float
    most: float


def by_tries(member: Member) -> list[Tries]:
    """Returns robust accuracy by the number of draws, for those of `TRIES` that there are draws for."""
    runs, right = len(member.outcomes), member.outcomes.sum(0)
    return [
        Tries(n, float(every_of(right, runs, n).mean()), float(most_of(right, runs, n).mean()))
        for n in TRIES
        if n <= runs
    ]


def every_of(right: Tensor, runs: int, tries: int) -> Tensor:
    """The chance that all of `tries` of `runs` draws are right where `right` (n,) are: C(c, N) / C(R, N)."""
    places = torch.arange(tries, dtype=torch.float64)
    return ((right.double().unsqueeze(1) - places).clamp(min=0) / (runs - places)).prod(1)


def most_of(right: Tensor, runs: int, tries: int) -> Tensor:
    """The chance that more than half of `tries` of `runs` draws are right where `right` (n,) are."""
    from scipy.stats import hypergeom  # slow to import

    return torch.from_numpy(hypergeom.sf(tries // 2, runs, right.cpu().numpy(), tries))


def disagreement(member: Member) -> float | None:
    """The chance that one of two draws is right and the other wrong, over the images; None for a single draw.

    On clean images, that is indecision, which an attacker need not overcome.
    """
    runs, right = len(member.outcomes), member.outcomes.sum(0).double()
    if runs < 2:
        return None
    return float((2 * right * (runs - right) / (runs * (runs - 1))).mean())
