"""dry_run=true: what would run, what of it is cached, and what the papers report; nothing is computed."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from vqexp import results
from vqexp.core.components import EXECUTION, component
from vqexp.core.config import CONF, finite
from vqexp.core.errors import ConfigError
from vqexp.core.files import sha256_of_file
from vqexp.pipeline.record import settings_that_matter
from vqexp.reports.analysis.gather import classifier_name, weight
from vqexp.reports.spec.fill import says_of_f, settings_key
from vqexp.reports.spec.table import Cell, Table, reported_text, wide_console

PUBLISHED = CONF.parent / "results" / "records.jsonl.gz"
COMPONENTS = ("defense", "adversary", "attack", "metric", "training", "classifier")


class Cache:
    """The runs that a store has records of, whatever they were made for, and those that are published."""

    def __init__(self, root: str | Path) -> None:
        self.root = root

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        return results.records(self.root)

    @cached_property
    def _settings(self) -> list[dict[str, Any]]:
        return [
            _settings(record["config"], record["classifier"].get("checkpoint")) for record in self._records
        ]

    @cached_property
    def _by_settings(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for record in [*self._records, *results.records(PUBLISHED)]:
            found.setdefault(settings_key(record["config"]), []).append(record)
        return found

    def has(self, config: Mapping[str, Any]) -> bool:
        """The store has a record of the resolved `config`: the run would find all of it there."""
        path = config["classifier"].get("checkpoint")
        known = path not in (None, "auto") and Path(path).is_file()
        wanted = _settings(config, sha256_of_file(Path(path)) if known else None)
        return any(_agrees(found, wanted) for found in self._settings)

    def measured(self, cell: Cell, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record that fills the cell, in the store or published; config: the cell's, resolved."""
        smoke = config["scale"]["name"] == "smoke"
        fits = [
            record
            for record in self._by_settings.get(settings_key(config), ())
            if record["smoke"] == smoke
            and cell.metric in record["metrics"]
            and says_of_f(cell.settings, record)
        ]
        return max(fits, key=lambda record: weight(record, cell.metric), default=None)

    def state(self, cell: Cell, config: Mapping[str, Any]) -> str:
        """`cached`; or what was measured, of how many images and on which f; or `missing`."""
        if self.has(config):
            return state(True)
        record = self.measured(cell, config)
        if record is None:
            return state(False)
        estimate = record["metrics"][cell.metric]
        return f"measured: n {estimate['n']}, runs {estimate['runs']}, {classifier_name(record)}"


def _settings(config: Mapping[str, Any], checkpoint: str | None) -> dict[str, Any]:
    """What a run's numbers rest on. checkpoint: the hash of f's, which then needs no training."""
    settings = finite(settings_that_matter(config))
    settings.pop("reported", None)
    settings.setdefault("precision", "float32")
    settings["scale"] = settings["scale"]["name"]  # what it sets is in the other groups
    for group in COMPONENTS:
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
    """All that the record knows is as wanted, and its components know all that is."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        same = all(name in wanted and _agrees(value, wanted[name]) for name, value in found.items())
        both = [group for group in COMPONENTS if group in found and group in wanted]
        return same and all(set(found[group]) == set(wanted[group]) for group in both)
    return bool(found == wanted)


def state(cached: bool) -> str:
    """`cached` or `missing`."""
    return "cached" if cached else "missing"


def print_preview(table: Table, cells: Sequence[Cell], states: Sequence[str]) -> None:
    """A line a cell, quoted ones too."""
    shown = RichTable(title=f"{table.title} ({table.source})", title_justify="left")
    for heading in ("row", "column", "reported", "state"):
        shown.add_column(heading)
    by_place = {(cell.row, cell.column): text for cell, text in zip(cells, states, strict=True)}
    for cell in table.cells(quoted=True):
        found = by_place.get((cell.row, cell.column), "quoted")
        shown.add_row(cell.row, cell.column, reported_text(cell.reported), found)
    wide_console().print(shown)
    cached, measured = states.count(state(True)), sum(text.startswith("measured") for text in states)
    more = f", {measured} measured otherwise" if measured else ""
    print(f"{cached} of {len(states)} cells cached{more}")
