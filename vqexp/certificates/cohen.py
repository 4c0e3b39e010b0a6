"""The certificate of Cohen, Rosenfeld & Kolter (ICML 2019), Theorem 1."""

import numpy as np
from scipy.stats import norm

from vqexp.certificates.base import Certificate


class Cohen(Certificate):
    """Guarantee: no perturbation of l2 norm L or less changes the majority label under Gaussian noise, where

    L = sigma / 2 (Phi^-1(p1) - Phi^-1(p2)). No larger radius holds for all classifiers with these p1 and p2.
    """

    norm, noise = "l2", "gaussian"

    def unit_radius(self, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
        """The closed form."""
        return (norm.ppf(p1) - norm.ppf(p2)) / 2
