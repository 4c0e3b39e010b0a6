"""Defenses: preprocessors before a classifier, and layers inside it."""

from vqexp.core.draws import Draw
from vqexp.core.random_module import RandomModule
from vqexp.defenses.base import Defended, Defense, NoDefense, defend
from vqexp.defenses.classic.contrast import Contrast
from vqexp.defenses.classic.crops import RandomCrops
from vqexp.defenses.classic.kwta import KWTA
from vqexp.defenses.classic.masked import Detached, Saturated
from vqexp.defenses.classic.pruning import ActivationPruning
from vqexp.defenses.classic.resize_pad import ResizePad
from vqexp.defenses.classic.squeeze import JPEG, BitDepth, Median
from vqexp.defenses.classic.thermometer import Thermometer
from vqexp.defenses.classic.transformations import Transformations
from vqexp.defenses.foreign import Foreign, ForeignModel, adapted
from vqexp.defenses.in_memory import RandomByItself, in_memory
from vqexp.defenses.noise import AdditiveNoise
from vqexp.defenses.vq.prd import PRD, RandDisc
from vqexp.defenses.vq.quantizer import VectorQuantizer
from vqexp.defenses.vq.swrd import SwRD
from vqexp.defenses.weights.ctrw import CTRW
from vqexp.defenses.weights.layer import RandomLayer, drawn_weights
from vqexp.defenses.weights.rna import RNA
from vqexp.defenses.weights.rpf import RPF

__all__ = [
    "CTRW",
    "JPEG",
    "KWTA",
    "PRD",
    "RNA",
    "RPF",
    "ActivationPruning",
    "AdditiveNoise",
    "BitDepth",
    "Contrast",
    "Defended",
    "Defense",
    "Detached",
    "Draw",
    "Foreign",
    "ForeignModel",
    "Median",
    "NoDefense",
    "RandDisc",
    "RandomByItself",
    "RandomCrops",
    "RandomLayer",
    "RandomModule",
    "ResizePad",
    "Saturated",
    "SwRD",
    "Thermometer",
    "Transformations",
    "VectorQuantizer",
    "adapted",
    "defend",
    "drawn_weights",
    "in_memory",
]
