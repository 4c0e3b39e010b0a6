"""One run, from a config to a record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vqexp.core.errors import Unfinished
from vqexp.core.places import local_folder
from vqexp.core.secrets import without_secrets
from vqexp.pipeline.build import prepare
from vqexp.pipeline.metric import Measurement
from vqexp.pipeline.record import MadeFor
from vqexp.pipeline.share import after_its_share
from vqexp.pipeline.stages import Stages
from vqexp.pipeline.write import write_record


def run(
    config: DictConfig,
    group: str | None = None,
    overrides: Sequence[str] = (),
    reported: MadeFor | None = None,
) -> Path:
    """Do what `config` says and return the record's path.

    group: the sweep's name, for the logger. overrides: what the command line set, and reported: the cell
    that the run is made for, both for the record.

    Raises `ConfigError` before any work if a setting is wrong, `WorkError` for a fault during work, and
    `Unfinished` where a shard has done its share and others have not.
    """
    experiment = prepare(config)
    logger, settings = experiment.logger, without_secrets(experiment.config)
    name = "-".join(
        settings[part]["_target_"].rsplit(".", 1)[-1] for part in ("defense", "adversary", "attack")
    )
    logger.start(
        settings,
        group,
        f"{settings['dataset']['name']}-{name}",
        str(local_folder(experiment.store.root)),
    )
    try:
        if experiment.shard is not None:
            experiment = after_its_share(experiment, _measured)
        stages = Stages(experiment)
        found = _measured(stages)
    except Unfinished:
        logger.finish({})
        raise
    path = write_record(stages, found, _facts(stages) | found.facts, overrides, reported)
    means = {name: estimate.mean for name, estimate in found.estimates.items()}
    logger.finish(means | {"record": str(path)})
    return path


def _measured(stages: Stages) -> Measurement:
    """What all metrics find. Where a further one uses a name again, its own name goes before it."""
    experiment = stages.experiment
    found = experiment.metric.measure(stages)
    for name, metric in experiment.further.items():
        more = metric.measure(stages)
        for shared in ("ids", "labels"):
            more.counts.pop(shared, None)
        for own, others in zip(vars(found).values(), vars(more).values(), strict=True):
            own |= {f"{name}.{each}" if each in own else each: value for each, value in others.items()}
    return found


def _facts(stages: Stages) -> dict[str, Any]:
    """What the attack said: its largest violation of ball and box, its log."""
    facts: dict[str, Any] = {"adversary": stages.experiment.adversary.knows(stages.defense)}
    if depends := stages.depends_on_batch():
        facts["depends_on_batch"] = depends
    if said := stages.adversarial_facts:
        facts["violation"] = max(chunk["violation"] for chunk in said)
        facts["logs"] = [chunk["log"] for chunk in said if "log" in chunk]
    return facts
