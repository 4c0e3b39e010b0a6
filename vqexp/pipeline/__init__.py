"""The pipeline: from a config to a record."""

from vqexp.pipeline.experiment import Experiment, prepare
from vqexp.pipeline.run import read_record, run, run_experiment

__all__ = ["Experiment", "prepare", "read_record", "run", "run_experiment"]
