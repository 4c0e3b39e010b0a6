"""How a classifier is fitted."""

from vqexp.training.adversarial import Adversarial
from vqexp.training.quantized import Quantized
from vqexp.training.standard import Standard

__all__ = ["Adversarial", "Quantized", "Standard"]
