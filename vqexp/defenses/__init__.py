"""Defenses: modules placed before or inside a classifier."""

from vqexp.defenses.base import Defended, Defense, NoDefense, call, defend
from vqexp.defenses.contrast import Contrast
from vqexp.defenses.masked import Detached, Saturated
from vqexp.defenses.prd import PRD, RandDisc
from vqexp.defenses.quantizer import VectorQuantizer
from vqexp.defenses.randomness import PURPOSES, Draw
from vqexp.defenses.resize_pad import ResizePad
from vqexp.defenses.squeeze import JPEG, BitDepth, Median
from vqexp.defenses.swrd import SwRD

__all__ = [
    "JPEG",
    "PRD",
    "PURPOSES",
    "BitDepth",
    "Contrast",
    "Defended",
    "Defense",
    "Detached",
    "Draw",
    "Median",
    "NoDefense",
    "RandDisc",
    "ResizePad",
    "Saturated",
    "SwRD",
    "VectorQuantizer",
    "call",
    "defend",
]
