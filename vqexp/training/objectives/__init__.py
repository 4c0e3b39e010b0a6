"""What a training minimizes: one objective a file."""

from vqexp.training.objectives.base import Objective
from vqexp.training.objectives.cross_entropy import CrossEntropy
from vqexp.training.objectives.pgd_at import PGDAT
from vqexp.training.objectives.quantized import Quantized

__all__ = ["PGDAT", "CrossEntropy", "Objective", "Quantized"]
