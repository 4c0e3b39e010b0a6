"""Expanding a figure into rows: one for each panel, series and value of x."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

X = re.compile(r"\bX\b")


def rows_of(
    panels: Sequence[Mapping[str, Any]], series: Sequence[Mapping[str, Any]], x: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Returns a row for each panel, series and value; a series' own values override its panel's.

    So do its `x_overrides`, and its `metric` that of the columns: curves of several kinds in one picture. A
    panel's `without` names the columns that its rows lack.
    """
    rows = []
    for panel in panels:
        for line in series:
            own = line.get("by_panel", {}).get(panel["label"], [])
            for value in line.get("x", panel.get("x", x.get("values", [None]))):
                texts = [panel["label"], line["label"], "" if value is None else f"{x['name']}={value}"]
                overrides = [*panel.get("overrides", []), *line.get("overrides", []), *own]
                if value is not None:
                    template = line.get("x_overrides", panel.get("x_overrides", x["overrides"]))
                    overrides += [X.sub(str(value), override) for override in template]
                own_metric = {"metric": line["metric"]} if "metric" in line else {}
                lacking = {"without": panel["without"]} if "without" in panel else {}
                rows.append(
                    {
                        **own_metric,
                        **lacking,
                        "label": ", ".join(text for text in texts if text),
                        "overrides": overrides,
                        "panel": panel["label"],
                        "series": line["label"],
                        "x": value,
                    }
                )
    return rows


def at_x(metric: str, x: float | None) -> str:
    """Returns the metric's name with the value of x for X: `renyi_at_X` is `renyi_at_0.5` at x = 0.5."""
    return metric if x is None else re.sub(r"X(?![a-z])", f"{x:g}", metric)


def zero_rows(
    panels: Sequence[Mapping[str, Any]],
    series: Sequence[Mapping[str, Any]],
    x: Mapping[str, Any],
    at_zero: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Returns the rows of x = 0."""
    bare = [{key: value for key, value in panel.items() if key != "x_overrides"} for panel in panels]
    rows = rows_of([{**panel, "x": [0]} for panel in bare], series, {**x, "overrides": at_zero["overrides"]})
    return [{**row, "metric": at_zero["metric"]} for row in rows]
