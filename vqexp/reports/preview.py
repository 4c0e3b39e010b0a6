"""dry_run=true: what would run, what of it is cached, and what the papers report; nothing is computed."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from vqexp import results
from vqexp.config import finite
from vqexp.data.split import sha256_of_file
from vqexp.pipeline.record import settings_that_matter
from vqexp.reports.table import Cell, Table, reported_text, wide_console


class Cache:
    """The runs that a store has records of, whatever table they were made for."""

    def __init__(self, root: str | Path) -> None:
        self.root = root

    @cached_property
    def _settings(self) -> list[dict[str, Any]]:
        return [
            _settings(record["config"], record["classifier"].get("checkpoint"))
            for record in results.records(self.root)
        ]

    def has(self, config: Mapping[str, Any]) -> bool:
        """A record of the resolved `config` exists. Settings younger than the record do not count."""
        path = config["classifier"].get("checkpoint")
        known = path not in (None, "auto") and Path(path).is_file()
        wanted = _settings(config, sha256_of_file(Path(path)) if known else None)
        return any(_agrees(found, wanted) for found in self._settings)


def _settings(config: Mapping[str, Any], checkpoint: str | None) -> dict[str, Any]:
    """What a run's numbers rest on. checkpoint: the hash of f's, which then needs no training."""
    settings = finite(settings_that_matter(config))
    settings.pop("reported", None)
    settings.setdefault("precision", "float32")
    settings["scale"] = settings["scale"]["name"]  # what it sets is in the other groups
    if checkpoint is not None:
        settings["classifier"] = {**settings["classifier"], "checkpoint": checkpoint}
        settings.pop("training")
    return settings


def _agrees(found: Any, wanted: Any) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(name in wanted and _agrees(value, wanted[name]) for name, value in found.items())
    return bool(found == wanted)


def state(cached: bool) -> str:
    """`cached` or `missing`."""
    return "cached" if cached else "missing"


def print_preview(table: Table, cells: Sequence[Cell], cached: Sequence[bool]) -> None:
    """A line a cell, quoted ones too."""
    shown = RichTable(title=f"{table.title} ({table.source})", title_justify="left")
    for heading in ("row", "column", "reported", "state"):
        shown.add_column(heading)
    states = {(cell.row, cell.column): state(has) for cell, has in zip(cells, cached, strict=True)}
    for cell in table.cells(quoted=True):
        found = states.get((cell.row, cell.column), "quoted")
        shown.add_row(cell.row, cell.column, reported_text(cell.reported), found)
    wide_console().print(shown)
    print(f"{sum(cached)} of {len(cached)} cells cached")
