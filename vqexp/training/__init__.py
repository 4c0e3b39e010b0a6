"""How a classifier is fitted: an objective, an inner attack and a recipe, in one loop."""

from vqexp.training.base import Training
from vqexp.training.descent import Descent
from vqexp.training.inner import InnerAttack
from vqexp.training.objectives import (
    PGDAT,
    CrossEntropy,
    GaussianAugmentation,
    Mart,
    Objective,
    Quantized,
    Stability,
    Trades,
)

__all__ = [
    "PGDAT",
    "CrossEntropy",
    "Descent",
    "GaussianAugmentation",
    "InnerAttack",
    "Mart",
    "Objective",
    "Quantized",
    "Stability",
    "Trades",
    "Training",
]
