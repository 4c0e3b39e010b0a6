"""Doing the share of a shard, after which the run can end if all other shares are done."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqexp.core.errors import Unfinished
from vqexp.core.store import Artifact, Job, Store
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.shard import Shard
from vqexp.pipeline.stages import Stages


class Finished(Store):
    """A store in which no stage is computed: raises `Unfinished` for a chunk that is not there."""

    def __init__(self, root: Path, shard: Shard) -> None:
        super().__init__(root)
        self.shard = shard

    def _compute(self, job: Job, wait: bool) -> Artifact | None:
        if job.kind == "counts":  # what a record is written from
            return super()._compute(job, wait)
        raise Unfinished(
            f"shard {self.shard} is done; the last one to end writes the record, or the same command "
            "without shard="
        )


def after_its_share(experiment: Experiment, measure: Callable[[Stages], Any]) -> Experiment:
    """Do the share of the experiment's shard; return the whole experiment, on a store that is `Finished`.

    measure: runs all stages, on the images of the share.
    """
    assert experiment.shard is not None
    stages = Stages(experiment)
    if len(stages.images):
        measure(stages)
    return replace(experiment, shard=None, store=Finished(experiment.store.root, experiment.shard))
