"""dry_run=true: what would run, what of it is cached, and what the papers report; nothing is computed."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from vqexp import results
from vqexp.config import finite
from vqexp.pipeline.record import settings_that_matter
from vqexp.reports.table import Cell, Table, reported_text, wide_console
from vqexp.store import key_of


class Cache:
    """The runs that a store has records of, whatever table they were made for."""

    def __init__(self, root: str | Path) -> None:
        self.root = root

    @cached_property
    def _settings(self) -> set[str]:
        return {_key(record["config"]) for record in results.records(self.root)}

    def has(self, config: Mapping[str, Any]) -> bool:
        """There is a record of the resolved `config`."""
        return _key(config) in self._settings


def _key(config: Mapping[str, Any]) -> str:
    settings = settings_that_matter(config)
    settings.pop("reported", None)
    return key_of("settings", finite(settings))


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
