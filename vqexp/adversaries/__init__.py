"""Adversaries: what the attacker knows."""

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.oblivious import Oblivious

__all__ = ["Adversary", "Oblivious"]
