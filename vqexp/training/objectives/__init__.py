"""What a training minimizes: one objective a file."""

from vqexp.training.objectives.base import Objective
from vqexp.training.objectives.cross_entropy import CrossEntropy
from vqexp.training.objectives.gaussian_augmentation import GaussianAugmentation
from vqexp.training.objectives.mart import Mart
from vqexp.training.objectives.pgd_at import PGDAT
from vqexp.training.objectives.quantized import Quantized
from vqexp.training.objectives.stability import Stability
from vqexp.training.objectives.trades import Trades

__all__ = [
    "PGDAT",
    "CrossEntropy",
    "GaussianAugmentation",
    "Mart",
    "Objective",
    "Quantized",
    "Stability",
    "Trades",
]
