"""How a classifier is fitted."""

from vqexp.training.adversarial import Adversarial
from vqexp.training.standard import Standard

__all__ = ["Adversarial", "Standard"]
