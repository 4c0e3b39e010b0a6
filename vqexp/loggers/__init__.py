"""Where a run's figures go beside its record: nowhere, or to Weights & Biases."""

from vqexp.loggers.base import Logger
from vqexp.loggers.none import NoLogger
from vqexp.loggers.wandb import WandB

__all__ = ["Logger", "NoLogger", "WandB"]
