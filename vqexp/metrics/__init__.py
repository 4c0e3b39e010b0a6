"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, Outcomes, margin
from vqexp.metrics.estimate import Estimate, proportion

__all__ = ["Accuracy", "Estimate", "Outcomes", "margin", "proportion"]
