"""Defenses: modules placed before or inside a classifier."""

from vqexp.defenses.base import Defended, Defense, NoDefense, call, defend
from vqexp.defenses.contrast import Contrast
from vqexp.defenses.prd import PRD, RandDisc
from vqexp.defenses.quantizer import VectorQuantizer
from vqexp.defenses.randomness import PURPOSES, Draw
from vqexp.defenses.swrd import SwRD

__all__ = [
    "PRD",
    "PURPOSES",
    "Contrast",
    "Defended",
    "Defense",
    "Draw",
    "NoDefense",
    "RandDisc",
    "SwRD",
    "VectorQuantizer",
    "call",
    "defend",
]
