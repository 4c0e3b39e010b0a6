"""Where a run's figures go beside its record: nowhere, to a CSV file, or to Weights & Biases."""

from vqexp.loggers.base import Logger
from vqexp.loggers.csv import CSV
from vqexp.loggers.none import NoLogger
from vqexp.loggers.wandb import WandB

__all__ = ["CSV", "Logger", "NoLogger", "WandB"]
