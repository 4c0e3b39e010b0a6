"""The settings of a record as one flat mapping, for tables and comparisons."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vqexp.core.text import defense_name
from vqexp.pipeline.record import Record
from vqexp.pipeline.write import settings_that_matter


def flat_settings(record: Record) -> dict[str, Any]:
    """Returns name -> value, such as `defense.k` -> 25, of the settings that determine the result.

    A component stands under its own name: `defense` -> `swRD`, `training.objective` -> `Stability`, `dataset`
    -> `cifar10`, `scale` -> `cpu`. A list is its text.
    """
    config = settings_that_matter(record.config)
    dataset = {name: value for name, value in config["dataset"].items() if name != "_target_"}
    config = {**config, "dataset": dataset, "scale": record.scale}
    found = dict(_leaves("", config))
    found["dataset"] = found.pop("dataset.name")
    found["defense"] = defense_name(record.config["defense"])
    return found


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields the name and the value of each setting in `value`."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key == "_target_":
                yield name, str(entry).rsplit(".", 1)[-1]
            else:
                yield from _leaves(f"{name}.{key}" if name else key, entry)
    elif isinstance(value, list):
        yield name, json.dumps(value)
    else:
        yield name, value
