"""The certificate of Li, Chen, Wang & Carin (NeurIPS 2019), Theorem 3, for the l1 norm."""

import numpy as np

from vqexp.certificates.base import Certificate


class Laplace(Certificate):
    """Guarantee: no perturbation of l1 norm L or less changes the majority label under Laplace noise, where

    L = -lambda log(1 - p1 + p2). It is tight for two classes.
    """

    norm, noise = "l1", "laplace"

    def unit_radius(self, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
        """The closed form."""
        with np.errstate(divide="ignore"):
            return -np.log1p(-(p1 - p2))
