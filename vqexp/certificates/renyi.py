"""The certificate of Li, Chen, Wang & Carin (NeurIPS 2019), Theorem 2, from Rényi divergences."""

import numpy as np

from vqexp.certificates.base import Certificate
from vqexp.certificates.search import maximum


class Renyi(Certificate):
    """Guarantee: no perturbation of l2 norm L or less changes the majority label under Gaussian noise, where

        L^2 = sup over alpha > 1 of -(2 sigma^2 / alpha) log(1 - 2 M_1(p1, p2) + 2 M_(1 - alpha)(p1, p2)),

    M_p being the generalized mean. The supremum is found to a relative 1e-6, from below. The released code
    takes the best of 100 values of alpha from 1.01 to 2: a relative 1e-5 less, and 0.5 % less where p2 is 0.
    """

    norm, noise = "l2", "gaussian"

    def unit_radius(self, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
        """Searches over log(alpha - 1); the closer p1 and p2, the larger the best alpha."""
        p1, p2 = p1[:, None], p2[:, None]

        def squared(log_t: np.ndarray) -> np.ndarray:
            t = np.exp(log_t)
            return 2 / (1 + t) * divergence(p1, p2, t)

        return np.sqrt(maximum(squared, -30.0, 45.0, grid=600))


def divergence(p1: np.ndarray, p2: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Lemma 1 for alpha = 1 + t: the least divergence of order alpha that changes the largest p_i."""
    with np.errstate(divide="ignore"):
        log_ratio = np.log(p2) - np.log(p1)  # -inf where p2 is 0
    # M_(-t) = p2 exp(excess), without loss for small t and for p1 close to p2
    excess = -np.log1p(np.expm1(t * log_ratio) / 2) / t
    with np.errstate(over="ignore", invalid="ignore"):
        lost = (p1 - p2) - 2 * p2 * np.expm1(excess)
    lost = np.where(p2 == 0, p1, lost)
    with np.errstate(divide="ignore"):
        return -np.log1p(-np.clip(lost, 0, 1))
