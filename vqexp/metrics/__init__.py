"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, margin
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run, Setup
from vqexp.metrics.certified import Certified, certified_accuracy, certified_error, vote_certificate
from vqexp.metrics.denoising import Denoising
from vqexp.metrics.estimate import Estimate, average, proportion
from vqexp.metrics.gradients import Gradients
from vqexp.metrics.kl_bound import KLBound
from vqexp.metrics.worst_case import Member, WorstCase, gap, worst_case

__all__ = [
    "Accuracy",
    "Certified",
    "Denoising",
    "Estimate",
    "Evaluation",
    "Gradients",
    "KLBound",
    "Measurement",
    "Member",
    "Metric",
    "Run",
    "Setup",
    "WorstCase",
    "average",
    "certified_accuracy",
    "certified_error",
    "gap",
    "margin",
    "proportion",
    "vote_certificate",
    "worst_case",
]
