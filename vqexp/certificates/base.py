"""What a certificate is: from bounds on two probabilities to a radius."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from vqexp.core.errors import require


class Certificate(ABC):
    """A radius within which the majority label of a classifier under additive noise cannot change.

    norm: of the radius. noise: the kind that it is proved for. The radius has the unit of the noise's scale.
    """

    norm: ClassVar[str]
    noise: ClassVar[str]

    def radius(self, p1: np.ndarray, p2: np.ndarray, scale: float) -> np.ndarray:
        """Radii (n,) >= 0; 0 where nothing is certified.

        p1: lower bounds (n,) of the probability of the majority label. p2: upper bounds of any other label's.
        scale: of the noise, > 0: standard deviation of Gaussian noise, lambda of Laplace noise.
        Raises `ConfigError` for probabilities outside [0, 1].
        """
        p1, p2 = np.asarray(p1, np.float64), np.asarray(p2, np.float64)
        for name, p in (("p1", p1), ("p2", p2)):
            require(bool(np.all((p >= 0) & (p <= 1))), f"{name} must be probabilities in [0, 1]")
        require(scale > 0, f"the noise's scale is {scale}; it must be > 0")
        p2 = np.minimum(p2, 1 - p1)  # the labels' probabilities add up to 1
        found = np.zeros(np.broadcast(p1, p2).shape)
        certain = p1 > p2
        if certain.any():
            found[certain] = scale * self.unit_radius(
                *(np.broadcast_to(p, found.shape)[certain] for p in (p1, p2))
            )
        return found

    @abstractmethod
    def unit_radius(self, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
        """Radii (n,) for noise of scale 1, where 1 - p1 >= p2 and p1 > p2."""
