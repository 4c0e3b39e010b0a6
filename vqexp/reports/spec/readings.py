"""Rows that measure those of other tables again, once for each reading of what a paper leaves open."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from vqexp.core.config import CONF
from vqexp.core.errors import require
from vqexp.reports.spec.choices import read_settings


def with_readings(
    rows: Sequence[Mapping[str, Any]], readings: Sequence[Mapping[str, Any]], kind: str = "table"
) -> list[dict[str, Any]]:
    """Returns each row once for each reading, with the settings of both; without readings, the rows.

    A row's `reported_from` lists rows of other tables, `TABLE/ROW`, whose reported values are its own.
    A new row knows its `reading` and the row that it is `of`. Raises `ConfigError` if a row is not there.
    """
    own = [{**row, "reported": _reported(row, kind)} if "reported_from" in row else {**row} for row in rows]
    if not readings:
        return own
    return [
        {
            **row,
            "label": f"{row['label']}, {reading['label']}",
            "overrides": [*(row.get("overrides") or ()), *(reading.get("overrides") or ())],
            "of": row["label"],
            "reading": reading["label"],
        }
        for reading in readings
        for row in own
    ]


def _reported(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in row["reported_from"]:
        name, _, label = str(place).partition("/")
        values = _values(name).get(label)
        require(values is not None, f"{kind}.rows.reported_from has {place!r}; it must be TABLE/ROW")
        found |= values or {}
    return found


@cache
def _values(table: str) -> dict[str, dict[str, Any]]:
    """The reported values of a table's rows; nothing if there is no such table."""
    path = CONF / "table" / f"{table}.yaml"
    rows = read_settings(path).get("rows", []) if path.exists() else []
    return {row["label"]: row.get("reported", {}) for row in rows}
