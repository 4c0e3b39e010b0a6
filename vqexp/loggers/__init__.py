"""Where a run's figures go beside its record: nowhere, a CSV file, TensorBoard, or Weights & Biases."""

from vqexp.loggers.base import Logger
from vqexp.loggers.csv import CSV
from vqexp.loggers.none import NoLogger
from vqexp.loggers.tensorboard import TensorBoard
from vqexp.loggers.wandb import WandB

__all__ = ["CSV", "Logger", "NoLogger", "TensorBoard", "WandB"]
