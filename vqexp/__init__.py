"""vqexp: reproduce and stress-test preprocessing and randomized adversarial defenses."""

from vqexp.defenses import defend

__version__ = "0.1.0"
__all__ = ["__version__", "defend"]
