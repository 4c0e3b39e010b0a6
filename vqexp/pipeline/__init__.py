"""The pipeline: from a config to a record."""

from vqexp.pipeline.build import prepare
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.reading import read, read_all
from vqexp.pipeline.record import Record
from vqexp.pipeline.run import run

__all__ = ["Experiment", "Record", "prepare", "read", "read_all", "run"]
