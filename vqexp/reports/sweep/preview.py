"""Previewing runs for dry_run=true: which are cached, which are measured otherwise, which are missing."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vqexp import results
from vqexp.core.components import EXECUTION, component
from vqexp.core.config import CONF, finite, resolved
from vqexp.core.errors import ConfigError
from vqexp.core.files import sha256_of_file
from vqexp.pipeline.record import Record
from vqexp.pipeline.write import settings_that_matter
from vqexp.reports.analysis.classifier import classifier_name
from vqexp.reports.analysis.gather import weight
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.fill import Index
from vqexp.reports.sweep.forecast import foretold

PUBLISHED = CONF.parent / "results" / "records.jsonl.gz"
COMPONENTS = ("defense", "adversary", "attack", "metric", "training", "fine_tuning", "classifier")


class Cache:
    """The records of a store, whatever they were made for, and the published ones."""

    def __init__(self, root: str | Path) -> None:
        self.root = root

    @cached_property
    def _records(self) -> list[Record]:
        return results.records(self.root, strict=False)

    @cached_property
    def _settings(self) -> list[dict[str, Any]]:
        return [_settings(record.config, record.classifier.get("checkpoint")) for record in self._records]

    @cached_property
    def _index(self) -> Index:
        return Index([*self._records, *results.records(PUBLISHED, strict=False)])

    def has(self, config: Mapping[str, Any]) -> bool:
        """Whether the store has a record of a run with this resolved config."""
        path = config["classifier"].get("checkpoint")
        known = path not in (None, "auto") and Path(path).is_file()
        wanted = _settings(config, sha256_of_file(Path(path)) if known else None)
        return any(_agrees(found, wanted) for found in self._settings)

    def fitting(self, cell: Cell, config: Mapping[str, Any]) -> list[Record]:
        """Returns the records that fill the cell; config: the cell's, resolved."""
        smoke = config["scale"]["name"] == "smoke"
        return [record for record in self._index.filling(cell, config) if record.smoke == smoke]

    def state(self, cell: Cell, config: Mapping[str, Any]) -> str:
        """Returns `cached`, `missing`, or what was measured: on how many images and which f."""
        if self.has(config):
            return "cached"
        fits = self.fitting(cell, config)
        if not fits:
            return "missing"
        record = max(fits, key=lambda record: weight(record, cell.metric))
        estimate = record.metrics[cell.metric]
        return f"measured: n {estimate.n}, runs {estimate.runs}, {classifier_name(record)}"


def _settings(config: Mapping[str, Any], checkpoint: str | None) -> dict[str, Any]:
    """Returns the settings that a run's numbers depend on. checkpoint: the hash of f's file, if any."""
    settings = finite(settings_that_matter(config))
    settings.setdefault("precision", "float32")
    settings["scale"] = settings["scale"]["name"]  # what it sets is in the other groups
    for group in settings.keys() & COMPONENTS:
        given = _completed(group, settings[group])
        settings[group] = {name: value for name, value in given.items() if name not in EXECUTION}
    if checkpoint is not None:
        settings["classifier"] = {**settings["classifier"], "checkpoint": checkpoint}
        settings.pop("training")
    return settings


def _completed(group: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings with their constructors' defaults, in nested components too, where these are here."""
    try:
        return component(group, settings, known=settings).settings
    except ConfigError:
        return settings


def _agrees(found: Any, wanted: Any) -> bool:
    """Whether the record has the wanted values, and its components have the wanted settings and no others."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        same = all(name in wanted and _agrees(value, wanted[name]) for name, value in found.items())
        both = [group for group in COMPONENTS if group in found and group in wanted]
        return same and all(set(found[group]) == set(wanted[group]) for group in both)
    return bool(found == wanted)


def states(configs: Sequence[DictConfig], cache: Cache) -> list[str]:
    """Returns `cached` or `missing (40 min)` of each run; prints what all take together.

    Raises `ConfigError` if a run is wrong.
    """
    cached = [cache.has(resolved(config)) for config in configs]
    times = iter(foretold((config, ()) for config, has in zip(configs, cached, strict=True) if not has))
    return ["cached" if has else f"missing ({next(times)})" for has in cached]
