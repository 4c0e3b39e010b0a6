"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, margin
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run, Setup
from vqexp.metrics.estimate import Estimate, average, proportion
from vqexp.metrics.gradients import Gradients
from vqexp.metrics.worst_case import Member, WorstCase, gap, worst_case

__all__ = [
    "Accuracy",
    "Estimate",
    "Evaluation",
    "Gradients",
    "Measurement",
    "Member",
    "Metric",
    "Run",
    "Setup",
    "WorstCase",
    "average",
    "gap",
    "margin",
    "proportion",
    "worst_case",
]
