"""How a classifier is fitted."""

from vqexp.training.standard import Standard

__all__ = ["Standard"]
