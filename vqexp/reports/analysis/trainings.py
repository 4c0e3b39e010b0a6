"""Several trainings of one f, by different seeds, as one measurement."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vqexp.core.estimate import pooled
from vqexp.core.keys import key_of
from vqexp.pipeline.outcomes import MOST_RUNS, packed, unpacked
from vqexp.pipeline.record import Record, Right


def family(record: Record) -> str:
    """Returns a key of how the record's f was made, whatever the seed and the versions of libraries."""
    identity = {name: value for name, value in record.classifier.items() if name != "seed"}
    if "data" not in identity:  # f came ready
        return key_of(identity)
    count, _, images = identity["data"]  # between them, the seed that draws a part of the images
    settings = record.config["defense"]
    behind = {name: value for name, value in settings.items() if name != "seed"}
    defense = behind if identity.get("defense") else None  # a hash, with the seed in it
    return key_of(_unversioned({**identity, "data": [count, images], "defense": defense}))


def _unversioned(identity: Any) -> Any:
    """The identity of a training without the packages that its parts are from."""
    if not isinstance(identity, Mapping):
        return identity
    return {name: _unversioned(value) for name, value in identity.items() if name != "packages"}


def seed_of(record: Record) -> int:
    """Returns the seed of f's training, or the run's where f was not trained."""
    return int(record.classifier.get("seed", record.config.get("seed") or 0))


def images_of(record: Record, metric: str) -> int:
    """Returns on how many images a metric was looked for.

    Those count that have no value of it, such as the distance of an adversarial image that the attack did not
    find; an estimate's n leaves them out.
    """
    attacked = record.metrics.get("robust_accuracy")
    return max(record.metrics[metric].n, attacked.n if attacked is not None else 0)


def together(records: Sequence[Record]) -> Record:
    """Returns the first record with each estimate's mean over all of them, one a training.

    Estimates that not all of them have, or not for as many images, are the first one's own; so is everything
    else that a record says.
    """
    first = records[0]
    if len(records) == 1:
        return first
    metrics = {}
    for name, estimate in first.metrics.items():
        images = images_of(first, name)
        same = [r.metrics[name] for r in records if name in r.metrics and images_of(r, name) == images]
        whole = len(same) == len(records) and all(each.known for each in same)
        metrics[name] = pooled(same) if whole else estimate
    outcomes = {
        name: right
        for name in first.outcomes
        if (right := _right([record.outcomes.get(name) for record in records])) is not None
    }
    return first.model_copy(update={"metrics": metrics, "outcomes": outcomes})


def _right(every: Sequence[Right | None]) -> Right | None:
    """How often each image was right over all trainings; None unless all saw the same images."""
    known = [each for each in every if each is not None]
    runs = sum(each.runs for each in known)
    if len(known) < len(every) or len({each.ids for each in known}) > 1 or runs > MOST_RUNS:
        return None
    return packed(known[0].ids, np.sum([unpacked(each) for each in known], 0), runs)
