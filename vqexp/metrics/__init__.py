"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run, Setup
from vqexp.metrics.denoising import Denoising
from vqexp.metrics.gradients import Gradients
from vqexp.metrics.smoothing import Smoothing
from vqexp.metrics.worst_case import Member, WorstCase, gap, worst_case

__all__ = [
    "Accuracy",
    "Denoising",
    "Evaluation",
    "Gradients",
    "Measurement",
    "Member",
    "Metric",
    "Run",
    "Setup",
    "Smoothing",
    "WorstCase",
    "gap",
    "worst_case",
]
