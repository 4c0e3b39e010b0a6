"""The certificate of Lecuyer et al. (2018), PixelDP, from differential privacy."""

import numpy as np

from vqexp.certificates.base import Certificate
from vqexp.certificates.search import maximum


class PixelDP(Certificate):
    """Guarantee: no perturbation of l2 norm L or less changes the majority label under Gaussian noise, where

        L = sigma epsilon / sqrt(2 log(1.25 / delta)), for any 0 < epsilon <= 1 and delta > 0 with
        p1 >= e^(2 epsilon) p2 + (1 + e^epsilon) delta.

    The best of them counts. (Li et al., appendix A, print the condition without its delta.)
    """

    norm, noise = "l2", "gaussian"

    def unit_radius(self, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
        """For each epsilon the largest delta that the condition allows."""
        p1, p2 = p1[:, None], p2[:, None]

        def radius(log_epsilon: np.ndarray) -> np.ndarray:
            epsilon = np.exp(log_epsilon)
            delta = (p1 - np.exp(2 * epsilon) * p2) / (1 + np.exp(epsilon))
            allowed = delta > 0
            log_delta = np.log(np.where(allowed, delta, 1))
            return np.where(allowed, epsilon / np.sqrt(2 * (np.log(1.25) - log_delta)), 0.0)

        return maximum(radius, np.log(1e-12), 0.0, grid=600)
