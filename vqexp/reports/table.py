"""A table of a paper: its cells as overrides, their reported values, and the measured ones beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from vqexp.errors import ConfigError, one_of, require
from vqexp.reports.summary import interval, percent


@dataclass(frozen=True)
class Cell:
    """One number of a table. reported: [mean, std] in percent, [mean], or None."""

    row: str
    column: str
    metric: str
    overrides: list[str]
    reported: list[float] | None
    quoted: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a paper, as `conf/table/*.yaml` describes it.

    columns: name -> {title, metric, overrides}; rows: label -> {overrides, reported: {column: [mean, std]}}.
    A row with `quoted: true` quotes other papers and is not run. only_rows, only_columns: null, or those to
    run; rows by a part of their label.
    """

    name: str
    title: str
    source: str
    common: list[str]
    columns: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    only_rows: list[str] | None = None
    only_columns: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    def cells(self, *, quoted: bool = False) -> list[Cell]:
        """The cells to run, column by column; with `quoted` also those that are not run."""
        cells = []
        for name, column in self.columns.items():
            if self.only_columns is not None and name not in self.only_columns:
                continue
            for row in self.rows:
                if self.only_rows is not None and not any(part in row["label"] for part in self.only_rows):
                    continue
                if name not in row.get("reported", self.columns):
                    continue
                cell = self._cell(row, name, column)
                if quoted or not cell.quoted:
                    cells.append(cell)
        return cells

    def _cell(self, row: Mapping[str, Any], name: str, column: Mapping[str, Any]) -> Cell:
        reported = row.get("reported", {}).get(name)
        overrides = [*self.common, *row.get("overrides", []), *column.get("overrides", [])]
        mean, std = [*(reported or []), None, None][:2]
        claim = {
            "table": self.name,
            "row": row["label"],
            "column": name,
            "metric": column["metric"],
            "mean": mean,
            "std": std,
            "source": self.source,
        }
        # JSON is within Hydra's grammar for dictionaries but for the quotes around the names
        text = ",".join(f"{key}:{json.dumps(value)}" for key, value in claim.items())
        overrides.append(f"reported={{{text}}}")
        return Cell(row["label"], name, column["metric"], overrides, reported, row.get("quoted", False))


def load_table(settings: Mapping[str, Any]) -> Table:
    """A table from its config; raises `ConfigError` for an unknown row or column."""
    table = Table(**settings)
    for column in table.only_columns or ():
        one_of("table.only_columns", column, table.columns)
    for part in table.only_rows or ():
        labels = [row["label"] for row in table.rows]
        require(
            any(part in label for label in labels),
            f"table.only_rows has {part!r}, a part of none of: {'; '.join(labels)}",
        )
    if not table.cells():
        raise ConfigError(f"table={table.name} has no cell to run with these rows and columns")
    return table


def print_table(table: Table, paths: Sequence[str | Path]) -> None:
    """Reported beside measured, a line a cell; `paths` are the cells' records in order."""
    shown = RichTable(title=f"{table.title} ({table.source})", title_justify="left")
    for heading in ("row", "column", "reported", "measured", "95 % interval", "difference", "runs", "n"):
        shown.add_column(heading)
    for cell, path in zip(table.cells(), paths, strict=True):
        estimate = json.loads(Path(path).read_text())["metrics"][cell.metric]
        shown.add_row(cell.row, cell.column, *comparison(cell.reported, estimate))
    console = Console(highlight=False)
    Console(highlight=False, width=max(console.width, 120)).print(shown)


def comparison(reported: Sequence[float] | None, estimate: Mapping[str, Any]) -> tuple[str, ...]:
    """(reported, measured, interval, difference, runs, n) as text, in percent."""
    gap = difference(reported, estimate)
    counts = str(estimate["runs"]), str(estimate["n"])
    return reported_text(reported), percent(estimate), interval(estimate), gap, *counts


def reported_text(reported: Sequence[float] | None) -> str:
    """`61.20 (0.31)`, `61.20` or nothing."""
    if not reported:
        return ""
    return f"{reported[0]:.2f}" + (f" ({reported[1]:.2f})" if len(reported) > 1 else "")


def difference(reported: Sequence[float] | None, estimate: Mapping[str, Any]) -> str:
    """Measured less reported, in points, with its sign; nothing where one is missing."""
    if not reported or estimate["mean"] is None:
        return ""
    return f"{100 * estimate['mean'] - reported[0]:+.2f}"
