"""What a table is: rows and columns that make cells, from a file in `conf/table`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError, one_of, require
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.claims import Claim, load_claims
from vqexp.reports.spec.figure_rows import at_x, rows_of
from vqexp.reports.spec.readings import with_readings
from vqexp.reports.spec.settings import from_overrides
from vqexp.reports.spec.shape import check_shape

# of a table with many cells: as many images and runs as the scale's grid says
GRID = {"dataset.n": "${least:${scale.n},${scale.grid.n}}", "metric.runs": "${scale.grid.runs}"}
QUOTED = "quoted"
AUDIT = "audit"  # `conf/table/audit.yaml` describes attacks on any defense (vqexp.audits.members)
CALIBRATION = "calibration"  # `conf/table/calibration.yaml`: audits (vqexp.audits.calibration)


@dataclass(frozen=True)
class Table:
    """A table of a paper, as `conf/table/*.yaml` describes it.

    columns: name -> {metric, overrides, reported_as}; `reported_as` names the column whose reported values
    hold for this one too. rows: label -> {overrides, reported: {column: [mean, std]}}; a row's `metric`
    replaces its columns', and columns that make no sense for it are in its `without`. A row with
    `quoted: true` is not run: it quotes other papers, or is what its `quoted_as` says; `training` then names
    the training that would measure it. readings: of what the paper leaves open, label -> {overrides, means};
    every row stands once for each (`vqexp.reports.spec.readings`). claims: what the paper says of the
    numbers. grid: it has many cells, each of as many images and runs as the scale's `grid` says. only_rows,
    only_columns: null, or those to run; rows by their label or, if it is no row's, by a part of it.
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
    claims: list[Claim] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)

    def cells(self, *, quoted: bool = False) -> list[Cell]:
        """Returns the cells to run, column by column; with `quoted` also those that are not run."""
        return [cell for cell in self._wanted_cells if quoted or not cell.quoted]

    @cached_property
    def _wanted_cells(self) -> list[Cell]:
        cells = []
        for name, column in self.columns.items():
            if self.only_columns is not None and name not in self.only_columns:
                continue
            for row in self.rows:
                if not self._wanted(row["label"]) or name in (row.get("without") or ()):
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
        grid = GRID if self.grid else {}
        own = from_overrides([*(row.get("overrides") or ()), *(column.get("overrides") or ())])
        return Cell(
            table=self.name,
            row=row["label"],
            column=name,
            metric=at_x(row.get("metric", column["metric"]), row.get("x")),
            settings={**from_overrides(self.common), **grid, **own},
            reported=row.get("reported", {}).get(column.get("reported_as", name)),
            source=self.source,
            quoted=row.get("quoted_as", QUOTED) if row.get("quoted") else "",
            training=row.get("training"),
            series=row.get("series", row["label"]),
            panel=row.get("panel", ""),
            x=row.get("x"),
        )


def load_table(settings: Mapping[str, Any], kind: str = "table") -> Table:
    """Returns the table that a config describes; raises `ConfigError` if it is wrong.

    kind: `table` or `figure`, as messages are to name it. Instead of `rows` a table may have a figure's
    `panels` and `series`, of which every pair is a row.
    """
    check_shape(kind, settings, [*(each.name for each in fields(Table)), "panels", "series"])
    settings = dict(settings)
    panels, series = settings.pop("panels", None), settings.pop("series", None)
    if panels and series:
        require(
            "rows" not in settings, f"{kind}={settings['name']} has rows, panels and series; it takes either"
        )
        settings["rows"] = rows_of(panels, series, {})
    for name in ("rows", "columns"):
        require(settings.get(name), f"{kind}.{name} is empty; a {kind} needs some")
    rows = with_readings(settings["rows"], settings.get("readings") or (), kind)
    claims = load_claims(kind, settings.get("claims") or ())
    table = Table(**{**settings, "rows": rows, "claims": claims})
    for name in (name for row in table.rows for name in row.get("without") or ()):
        one_of(f"{kind}.rows.without", name, table.columns)
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
    """Returns the table in a file of `conf/table`."""
    return load_table(read_settings(path))


def all_tables() -> list[Table]:
    """Returns the tables of `conf/table` whose cells are single runs, those of the papers first."""
    others = (AUDIT, CALIBRATION)
    paths = sorted(path for path in (CONF / "table").glob("*.yaml") if path.stem not in others)
    tables = [read_table(path) for path in paths]
    return sorted(tables, key=_importance)


def _importance(table: Table) -> tuple[bool, bool]:
    """A sort key: tables with reported values first, and of these the journal's."""
    return not any(cell.reported for cell in table.cells()), not table.source.startswith("journal")
