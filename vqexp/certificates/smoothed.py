"""From the votes of a classifier under noise to its prediction, and to the radius within which that holds."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqexp.certificates.base import Certificate
from vqexp.certificates.cohen import Cohen
from vqexp.certificates.intervals import INTERVALS
from vqexp.certificates.laplace import Laplace
from vqexp.certificates.pixeldp import PixelDP
from vqexp.certificates.renyi import Renyi
from vqexp.core.errors import check_number, one_of

ABSTAIN = -1
CERTIFICATES: dict[str, type[Certificate]] = {
    "renyi": Renyi,
    "cohen": Cohen,
    "pixeldp": PixelDP,
    "laplace": Laplace,
}


@dataclass(frozen=True)
class Certified:
    """What is certified of n images.

    labels: (n,) int64, `ABSTAIN` where the votes do not name one. radius: (n,) float64, 0 where it abstains,
    in the unit of the noise's scale. p1, p2: (n,), the bounds that the radius rests on. norm: of the radius.
    """

    labels: Tensor
    radius: Tensor
    p1: Tensor
    p2: Tensor
    norm: str

    def accuracy(self, labels: Tensor, radius: float) -> float:
        """Share of images whose label is right and certified to be so within `radius`: certified accuracy."""
        return self.right_within(labels, radius).double().mean().item()

    def right_within(self, labels: Tensor, radius: float) -> Tensor:
        """(n,) bool: the label is right, and certified within `radius` or further."""
        return (self.labels == labels) & (self.radius >= radius)


def certified(
    guesses: Tensor,
    votes: Tensor,
    *,
    certificate: str,
    scale: float,
    alpha: float = 0.05,
    interval: str = "clopper_pearson",
) -> Certified:
    """Returns a label and a radius for each image; the guarantee of one image fails with at most `alpha`.

    guesses, votes: (n, classes), how many draws gave each label. The guesses name the label, the votes bound
    its probability: the guarantee needs draws that are disjoint. certificate: one of `CERTIFICATES`. scale:
    of the noise, > 0. interval: one of `INTERVALS`. Raises `ConfigError` for values out of range.
    """
    one_of("certificate", certificate, CERTIFICATES)
    one_of("interval", interval, INTERVALS)
    check_number("alpha", alpha, above=0, below=1)
    check_number("scale", scale, above=0)
    labels = guesses.argmax(1).cpu()
    p1, p2 = INTERVALS[interval](votes.cpu().numpy(), labels.numpy(), alpha)
    kind = CERTIFICATES[certificate]()
    radius = kind.radius(p1, p2, scale)
    labels = torch.where(torch.from_numpy(radius > 0), labels, ABSTAIN)
    return Certified(
        labels, torch.from_numpy(radius), torch.from_numpy(np.asarray(p1)), torch.from_numpy(p2), kind.norm
    )
