"""Metrics: what is measured on the defended classifier."""

from vqexp.metrics.accuracy import Accuracy
from vqexp.metrics.denoising import Denoising
from vqexp.metrics.gradient_similarity import GradientSimilarity
from vqexp.metrics.gradients import Gradients
from vqexp.metrics.positive_control import PositiveControl
from vqexp.metrics.sigma import Sigma
from vqexp.metrics.smoothing import Smoothing
from vqexp.metrics.worst_case import Member, WorstCase, draws_apart, gap, worst_case
from vqexp.pipeline.metric import Measurement, Metric

__all__ = [
    "Accuracy",
    "Denoising",
    "GradientSimilarity",
    "Gradients",
    "Measurement",
    "Member",
    "Metric",
    "PositiveControl",
    "Sigma",
    "Smoothing",
    "WorstCase",
    "draws_apart",
    "gap",
    "worst_case",
]
