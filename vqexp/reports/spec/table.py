"""A table of a paper: its cells as overrides, their reported values, and the measured ones beside them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError, one_of, require
from vqexp.core.text import interval, scale_of, shown
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.shape import check_shape

GRID = ("dataset.n='${least:${scale.n},${scale.grid.n}}'", "metric.runs=${scale.grid.runs}")
AUDIT = "audit"  # `conf/table/audit.yaml` describes attacks on any defense (vqexp.audits.members)


@dataclass(frozen=True)
class Cell:
    """One number of a table. reported: [mean, std] in percent, [mean], or None.

    series, panel and x place it in a figure; in a table the row is the series.
    """

    row: str
    column: str
    metric: str
    overrides: list[str]
    reported: list[float] | None
    quoted: bool = False
    training: str | None = None
    series: str = ""
    panel: str = ""
    x: float | None = None

    @property
    def settings(self) -> list[str]:
        """The overrides that determine the number: all but the reported value."""
        return [override for override in self.overrides if not override.startswith("reported=")]

    @property
    def dataset(self) -> str:
        """Its name."""
        chosen = [text.partition("=")[2] for text in self.overrides if text.startswith("dataset=")]
        return chosen[-1] if chosen else "digits"

    @property
    def setup(self) -> tuple[str, ...]:
        """Dataset and, where the cell names one, classifier: cells that can share an f.

        With a training of its own, the defense too: f may be trained behind it.
        """
        groups: tuple[str, ...] = ("dataset=", "classifier=", "classifier.name=", "training=")
        if any(override.startswith("training=") for override in self.overrides):
            groups += ("defense",)
        return tuple(override for override in self.overrides if override.startswith(groups))


@dataclass(frozen=True)
class Table:
    """A table of a paper, as `conf/table/*.yaml` describes it.

    columns: name -> {metric, overrides, reported_as}; `reported_as` names the column whose reported values
    hold for this one too. rows: label -> {overrides, reported: {column: [mean, std]}}; a row's `metric`
    replaces its columns'. A row with `quoted: true` quotes other papers and is not run; `training` then
    names the training that would measure it. claims: what the paper says of the numbers
    (`analysis.claims`). grid: it has many cells, each of as many images and runs as the scale's `grid`
    says. only_rows, only_columns: null, or those to run; rows by their label or, if it
    is no row's, by a part of it.
    """

    name: str
    title: str
    source: str
    common: list[str]
    columns: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    only_rows: list[str] | None = None
    only_columns: list[str] | None = None
    grid: bool = False
    notes: list[str] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)

    def cells(self, *, quoted: bool = False) -> list[Cell]:
        """The cells to run, column by column; with `quoted` also those that are not run."""
        return [cell for cell in self._wanted_cells if quoted or not cell.quoted]

    @cached_property
    def _wanted_cells(self) -> list[Cell]:
        cells = []
        for name, column in self.columns.items():
            if self.only_columns is not None and name not in self.only_columns:
                continue
            for row in self.rows:
                if not self._wanted(row["label"]):
                    continue
                if "reported" in row and column.get("reported_as", name) not in row["reported"]:
                    continue
                cells.append(self._cell(row, name, column))
        return cells

    def _wanted(self, label: str) -> bool:
        if self.only_rows is None:
            return True
        labels = {row["label"] for row in self.rows}
        return any(label == part or (part not in labels and part in label) for part in self.only_rows)

    def _cell(self, row: Mapping[str, Any], name: str, column: Mapping[str, Any]) -> Cell:
        reported = row.get("reported", {}).get(column.get("reported_as", name))
        metric = row.get("metric", column["metric"])
        common = [*self.common, *(GRID if self.grid else ())]
        overrides = [*common, *row.get("overrides", []), *column.get("overrides", [])]
        mean, std = [*(reported or []), None, None][:2]
        claim = {
            "table": self.name,
            "row": row["label"],
            "column": name,
            "metric": metric,
            "mean": mean,
            "std": std,
            "source": self.source,
        }
        # JSON is within Hydra's grammar for dictionaries but for the quotes around the names
        text = ",".join(f"{key}:{json.dumps(value)}" for key, value in claim.items())
        overrides.append(f"reported={{{text}}}")
        return Cell(
            row=row["label"],
            column=name,
            metric=metric,
            overrides=overrides,
            reported=reported,
            quoted=row.get("quoted", False),
            training=row.get("training"),
            series=row.get("series", row["label"]),
            panel=row.get("panel", ""),
            x=row.get("x"),
        )


def load_table(settings: Mapping[str, Any], kind: str = "table") -> Table:
    """A table from its config; raises `ConfigError` for what does not fit, or an unknown row or column.

    kind: `table`, or `figure` for the cells of one: how messages call it.
    """
    check_shape(kind, settings, [each.name for each in fields(Table)])
    for name in ("rows", "columns"):
        require(settings.get(name), f"{kind}.{name} is empty; a {kind} needs some")
    table = Table(**settings)
    for column in table.only_columns or ():
        one_of(f"{kind}.only_columns", column, table.columns)
    check_parts(f"{kind}.only_rows", table.only_rows or (), [row["label"] for row in table.rows])
    if not table.cells():
        quoted = " but quoted ones, which are not run" if table.cells(quoted=True) else ""
        raise ConfigError(f"{kind}={table.name} has no cell with these rows and columns{quoted}")
    return table


def check_parts(name: str, parts: Iterable[str], labels: Collection[str]) -> None:
    """Raise `ConfigError`, listing the labels, unless every part occurs in one; `name` is the setting's."""
    for part in parts:
        require(
            any(part in label for label in labels),
            f"{name} has {part!r}, a part of none of: {'; '.join(labels)}",
        )


def read_table(path: Path) -> Table:
    """A table from its file in `conf/table`."""
    return load_table(read_settings(path))


def all_tables() -> list[Table]:
    """The tables of `conf/table`, those of the papers first; the audit is none of them."""
    paths = sorted(path for path in (CONF / "table").glob("*.yaml") if path.stem != AUDIT)
    tables = [read_table(path) for path in paths]
    return sorted(tables, key=_importance)


def _importance(table: Table) -> tuple[bool, bool]:
    """Tables with reported values first, and of these the journal's."""
    return not any(cell.reported for cell in table.cells()), not table.source.startswith("journal")


def print_table(table: Table, cells: Sequence[Cell], paths: Sequence[str | Path]) -> None:
    """Reported beside measured, a line a cell; `paths` are the cells' records in order."""
    shown = RichTable(title=f"{table.title} ({table.source})", title_justify="left")
    for heading in ("row", "column", "reported", "measured", "95 % interval", "difference", "runs", "n"):
        shown.add_column(heading)
    for cell, path in zip(cells, paths, strict=True):
        metrics = json.loads(Path(path).read_text())["metrics"]
        one_of(f"the metric of {table.name}, {cell.row}, {cell.column},", cell.metric, metrics)
        estimate = metrics[cell.metric]
        shown.add_row(cell.row, cell.column, *comparison(cell, estimate))
    wide_console().print(shown)


def wide_console() -> Console:
    """A console of at least 120 columns, also where the output is no terminal."""
    return Console(highlight=False, width=max(Console().width, 120))


def comparison(cell: Cell, estimate: Mapping[str, Any]) -> tuple[str, ...]:
    """(reported, measured, interval, difference, runs, n) as text, shares in percent."""
    return (
        reported_text(cell.reported),
        shown(estimate),
        interval(estimate),
        difference(cell, estimate),
        str(estimate["runs"]),
        str(estimate["n"]),
    )


def reported_text(reported: Sequence[float] | None) -> str:
    """`61.20 (0.31)`, `61.20` or nothing."""
    if not reported:
        return ""
    return f"{reported[0]:.2f}" + (f" ({reported[1]:.2f})" if len(reported) > 1 else "")


def difference(cell: Cell, estimate: Mapping[str, Any]) -> str:
    """Measured less reported, in points, with its sign; nothing where one is missing."""
    if not cell.reported or estimate["mean"] is None:
        return ""
    return f"{scale_of(estimate) * estimate['mean'] - cell.reported[0]:+.2f}"


def outside(cell: Cell, estimate: Mapping[str, Any]) -> bool:
    """The reported value is outside the measured one's interval."""
    if not cell.reported or estimate["mean"] is None:
        return False
    low, high = estimate["ci95"]
    return not low <= cell.reported[0] / scale_of(estimate) <= high
