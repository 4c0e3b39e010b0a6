"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, margin
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run
from vqexp.metrics.estimate import Estimate, proportion
from vqexp.metrics.worst_case import Member, WorstCase, gap, worst_case

__all__ = [
    "Accuracy",
    "Estimate",
    "Evaluation",
    "Measurement",
    "Member",
    "Metric",
    "Run",
    "WorstCase",
    "gap",
    "margin",
    "proportion",
    "worst_case",
]
