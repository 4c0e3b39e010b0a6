"""What a figure is: the cells of a table, and how to draw them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError, one_of, require
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.claims import Claim, load_claims
from vqexp.reports.spec.figure_rows import rows_of, zero_rows
from vqexp.reports.spec.shape import check_shape
from vqexp.reports.spec.table import Table, load_table

KINDS = ("lines", "tradeoff", "pictures", "schematic")


@dataclass(frozen=True)
class Figure:
    """A figure of a paper, as `conf/figure/*.yaml` describes it.

    kind: `lines` (a value over x), `tradeoff` (one column over another), `pictures` (of images) or
        `schematic` (nothing to measure: `drawing` draws it).
    table: its cells; each row is one (panel, series, x).
    shows: what is drawn over x, a line style each: columns, or differences such as `natural - robust`.
    x_label, y_label: axis titles; x_labels: those of panels with another unit. x_scale, scale: of the x and
        the y axis, `linear`, `log` or `symlog`.
    of: the figures whose cells this one draws, if it has none of its own.
    drawing: the `_target_` that draws a schematic into the file `stem`, and further arguments.
    """

    name: str
    title: str
    source: str
    kind: str
    table: Table | None
    shows: list[str] = field(default_factory=list)
    x_label: str = ""
    x_labels: Mapping[str, str] = field(default_factory=dict)
    x_scale: str = "linear"
    y_label: str = "accuracy (%)"
    scale: str = "linear"
    of: list[str] = field(default_factory=list)
    drawing: dict[str, Any] | None = None
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def x_label_of(self, panel: str) -> str:
        """Returns a panel's x axis title."""
        return self.x_labels.get(panel) or self.x_label or panel.partition(", by ")[2]

    @property
    def tables(self) -> list[Table]:
        """The tables that hold its cells: its own, or those of the figures that it draws."""
        own = [self.table] if self.table else []
        return own + [table for name in self.of for table in read_figure(figure_path(name)).tables]


SETTINGS = (
    *("name", "title", "source", "kind", "shows", "y_label", "scale", "of", "drawing", "claims", "notes"),
    *("x", "panels", "series", "at_zero", "columns", "reported", "common", "grid"),
    *("only_rows", "only_columns"),
)


def load_figure(settings: Mapping[str, Any]) -> Figure:
    """Returns the figure that a config describes.

    `panels` and `series` are lists of {label, overrides, x}, x a list of values; every x value becomes a
    row through `x.overrides`, in which X stands for it. A series' `by_panel` has overrides for some panels;
    its `x_overrides` and `metric` stand in place of the others', a panel's `x_label` in place of x's label.
    `at_zero` {metric, overrides} adds the point x = 0 to each series, where it is measured in another way.
    `reported` maps row labels to {column: [mean, std]}; `grid` is the table's. Raises `ConfigError` for what
    does not fit.
    """
    check_shape("figure", settings, SETTINGS)
    left = dict(settings)
    kind = left.get("kind")
    one_of("figure.kind", kind, KINDS)
    x = left.pop("x", None) or {}
    panels = left.pop("panels", None) or [{"label": ""}]
    series = left.pop("series", None) or []
    reported = left.pop("reported", None) or {}
    rows = rows_of(panels, series, x)
    if at_zero := left.pop("at_zero", None):
        rows = [*zero_rows(panels, series, x, at_zero), *rows]
    for row in rows:
        if row["label"] in reported:
            row["reported"] = reported[row["label"]]
    unknown = set(reported) - {row["label"] for row in rows}
    require(not unknown, f"figure.reported has rows that do not exist: {'; '.join(sorted(unknown))}")
    columns, common = left.pop("columns", None) or {}, left.pop("common", None) or []
    chosen = {name: left.pop(name, None) for name in ("only_rows", "only_columns")}
    chosen["grid"] = left.pop("grid", False)
    table = None
    if columns:
        texts = {name: left[name] for name in ("name", "title", "source")}
        table = load_table({**texts, "common": common, "columns": columns, "rows": rows, **chosen}, "figure")
    elif any(chosen.values()):
        raise ConfigError(
            f"figure={left['name']} has no cells of its own to choose from"
            + (f": choose among those of figure={', figure='.join(left['of'])}" if left.get("of") else "")
        )
    left["claims"] = load_claims("figure", left.get("claims") or ())
    labels = {panel["label"]: panel["x_label"] for panel in panels if "x_label" in panel}
    figure = Figure(
        table=table, x_label=x.get("label", ""), x_labels=labels, x_scale=x.get("scale", "linear"), **left
    )
    require(
        (kind == "schematic") == (figure.drawing is not None),
        f"figure={figure.name} is of kind {kind}; a schematic needs a `drawing`, and nothing else has one",
    )
    require(
        table or figure.of or kind == "schematic",
        f"figure={figure.name} has nothing to draw: it needs columns, or other figures in `of`",
    )
    return figure


def figure_path(name: str) -> Path:
    """Returns `conf/figure/NAME.yaml`; raises `ConfigError` if it does not exist."""
    path = CONF / "figure" / f"{name}.yaml"
    if not path.exists():
        exist = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml")))
        raise ConfigError(f"there is no figure {name}; there is {exist}")
    return path


def read_figure(path: Path) -> Figure:
    """Returns the figure in a file of `conf/figure`."""
    return load_figure(read_settings(path))


def all_figures() -> list[Figure]:
    """Returns the figures of `conf/figure` by name, Figure 10 after 9."""
    paths = (CONF / "figure").glob("*.yaml")
    return [read_figure(path) for path in sorted(paths, key=lambda path: _in_order(path.stem))]


def _in_order(name: str) -> list[Any]:
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdigit() else part for part in parts]
