"""Defenses: modules placed before or inside a classifier."""

from vqexp.defenses.base import Defended, Defense, NoDefense, defend, evaluating
from vqexp.defenses.contrast import Contrast
from vqexp.defenses.drawing import Drawing, bound, call, is_random
from vqexp.defenses.foreign import Foreign, ForeignModel, adapted, generators_kept, seed_generators
from vqexp.defenses.masked import Detached, Saturated
from vqexp.defenses.prd import PRD, RandDisc
from vqexp.defenses.quantizer import VectorQuantizer
from vqexp.defenses.randomness import PURPOSES, Draw, Streams, repeated
from vqexp.defenses.resize_pad import ResizePad
from vqexp.defenses.sampling import Sampler
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
    "Drawing",
    "Foreign",
    "ForeignModel",
    "Median",
    "NoDefense",
    "RandDisc",
    "ResizePad",
    "Sampler",
    "Saturated",
    "Streams",
    "SwRD",
    "VectorQuantizer",
    "adapted",
    "bound",
    "call",
    "defend",
    "evaluating",
    "generators_kept",
    "is_random",
    "repeated",
    "seed_generators",
]
