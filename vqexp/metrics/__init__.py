"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy, margin
from vqexp.metrics.base import Evaluation, Measurement, Metric, Run, Setup
from vqexp.metrics.certified import Certified, certified_accuracy, certified_error, vote_certificate
from vqexp.metrics.denoising import Denoising
from vqexp.metrics.estimate import Estimate, average, proportion
from vqexp.metrics.gradients import Gradients
from vqexp.metrics.kl_bound import KLBound

__all__ = [
    "Accuracy",
    "Certified",
    "Denoising",
    "Estimate",
    "Evaluation",
    "Gradients",
    "KLBound",
    "Measurement",
    "Metric",
    "Run",
    "Setup",
    "average",
    "certified_accuracy",
    "certified_error",
    "margin",
    "proportion",
    "vote_certificate",
]
