"""vqexp: reproduce and stress-test preprocessing and randomized adversarial defenses."""

import os

# Before torch is loaded: threads that spin while they wait make a busy machine ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from vqexp import results
from vqexp.defenses import defend

__version__ = "0.2.0"
__all__ = ["__version__", "defend", "results"]
