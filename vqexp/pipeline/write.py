"""Writing the record of a run, and what its key is made of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vqexp.core.atomic import write_atomically
from vqexp.core.components import EXECUTION
from vqexp.core.errors import ConfigError
from vqexp.core.keys import key_of
from vqexp.core.notes import note
from vqexp.core.secrets import without_secrets
from vqexp.core.store import Artifact, Job
from vqexp.pipeline.metric import Measurement
from vqexp.pipeline.provenance import provenance
from vqexp.pipeline.reading import read, sealed
from vqexp.pipeline.record import Counts, MadeFor, Provenance, Record
from vqexp.pipeline.stages import Stages

# what a key leaves out, as it was before there was a choice
NOT_CHOSEN: tuple[tuple[str, Any], ...] = (("precision", "float32"), ("metrics", {}))
NOT_CHOSEN_OF = {"classifier": ("statistics", "running"), "adversary": ("statistics", None)}
PRESENTATION = ("table", "figure", "optimize", "dry_run", "shard", "cell", "place")  # of sweeps, not of runs


def record_key(stages: Stages, reported: MadeFor | None = None) -> str:
    """Hash of the settings that matter, of foreign code, and of all artifacts that the numbers rest on.

    The cell that the run was made for is part of it: two cells with the same settings have a record each.
    """
    experiment = stages.experiment
    settings = settings_that_matter(experiment.config)
    settings["reported"] = reported and reported.model_dump()
    return key_of("record", settings, experiment.sources, experiment.versions, stages.ledger.used)


def settings_that_matter(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a resolved config without what only says where, how and for which table to compute.

    What a preset fixes is in the components that it is for.
    """
    return {
        name: {k: v for k, v in value.items() if k not in EXECUTION and (k, v) != NOT_CHOSEN_OF.get(name)}
        if isinstance(value, dict)
        else value
        for name, value in config.items()
        if name not in ("store", "device", "compile", "logger", "preset", *PRESENTATION)
        and (name, value) not in NOT_CHOSEN
    }


def write_record(
    stages: Stages,
    found: Measurement,
    facts: dict[str, Any],
    overrides: Sequence[str] = (),
    reported: MadeFor | None = None,
) -> Path:
    """Write the record, and beside it the per-image counts; an existing one of the same key stays if whole.

    Returns the record's path.
    """
    experiment = stages.experiment
    key = record_key(stages, reported)
    path = experiment.store.root / "records" / f"{key}.json"
    if _is_whole(path):
        return path
    experiment.store.fetch(Job("counts", key, lambda: Artifact(found.counts, {})))
    config, at_once = experiment.config, stages.halving.at_once
    halved: dict[str, Any] = {"images_at_once": at_once} if at_once else {}
    record = Record(
        key=key,
        smoke=config["scale"]["name"] == "smoke",
        config={name: value for name, value in config.items() if name not in PRESENTATION},
        overrides=[text for text in overrides if not text.startswith(("cell=", "place=", "store.root="))],
        classifier=stages.classifier_identity,
        sources=experiment.sources,
        metrics=found.estimates,
        reported=reported,
        facts=facts,
        counts=Counts(
            file=f"counts/{key}.safetensors", images=key_of(*stages.ledger.used.get("adversarial", []))
        ),
        artifacts=stages.ledger.used,
        provenance=Provenance(
            **provenance(experiment.device, stages.ledger.seconds),
            versions=experiment.versions,
            training=stages.training_facts,
            **halved,
            backend=experiment.defense.computed_by(experiment.dataset.shape, experiment.device),
        ),
    )
    write_atomically(path, (json.dumps(sealed(without_secrets(record.plain())), indent=1) + "\n").encode())
    return path


def _is_whole(path: Path) -> bool:
    """Whether the record is there and can be read; a damaged one is told and made again."""
    if not path.exists():
        return False
    try:
        read(path)
    except ConfigError as error:
        note(f"{error}; it is made again")
        return False
    return True
