"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, margin
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run, Setup
from vqexp.metrics.estimate import Estimate, average, proportion
from vqexp.metrics.gradients import Gradients

__all__ = [
    "Accuracy",
    "Estimate",
    "Evaluation",
    "Gradients",
    "Measurement",
    "Metric",
    "Run",
    "Setup",
    "average",
    "margin",
    "proportion",
]
