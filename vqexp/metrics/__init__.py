"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, margin
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run
from vqexp.metrics.estimate import Estimate, proportion

__all__ = ["Accuracy", "Estimate", "Evaluation", "Measurement", "Metric", "Run", "margin", "proportion"]
