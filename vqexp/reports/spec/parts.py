"""The command of a sweep, and the fewest words that choose some rows and no others (`only_rows`)."""

import json
import shlex
from collections.abc import Collection, Iterator, Sequence

from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.table import Table


def sweep_command(kind: str, table: Table, cells: Sequence[Cell], *more: str) -> str:
    """Returns the command line that measures some cells of the table. kind: table or figure.

    more: further overrides, as a shell is to read them.
    """
    chosen = map(shlex.quote, _only(kind, table, cells))
    return " ".join(["python run.py -m", f"{kind}={table.name}", *chosen, *more])


def _only(kind: str, table: Table, cells: Sequence[Cell]) -> list[str]:
    """Returns the overrides by which a sweep has the rows and the columns of some cells of the table.

    kind: table or figure, the group that the table is of. Where these are all of its rows, or all columns of
    these rows, no override is needed.
    """
    every = table.cells()
    rows, columns = (list(dict.fromkeys(getattr(c, part) for c in cells)) for part in ("row", "column"))
    found = []
    if set(rows) != {cell.row for cell in every}:
        found.append(f"{kind}.only_rows={json.dumps(parts_for(rows, [row['label'] for row in table.rows]))}")
    if set(columns) != {cell.column for cell in every if cell.row in rows}:
        found.append(f"{kind}.only_columns={json.dumps(columns)}")
    return found


def parts_for(wanted: Collection[str], labels: Collection[str]) -> list[str]:
    """Returns parts of the wanted labels of which each wanted one has some, and no other label has any.

    Labels are made of words between commas, and so are parts. A part that is a label itself chooses this one
    alone. Taken greedily: first the part that most of the labels share. A single label is named whole.
    """
    if len(wanted) == 1:
        return list(wanted)
    others = [label for label in labels if label not in wanted]
    chosen = {part: _chosen_by(part, wanted, labels) for label in wanted for part in _parts(label)}
    safe = {
        part: rows
        for part, rows in chosen.items()
        if part in labels or not any(part in label for label in others)
    }
    found, left = [], set(wanted)
    while left:
        best = max(safe, key=lambda part: (len(safe[part] & left), -len(part)))
        found.append(best)
        left -= safe[best]
    return found


def _parts(label: str) -> Iterator[str]:
    """The label itself, and every run of its words."""
    words = label.split(", ")
    yield label
    for first in range(len(words)):
        for stop in range(first + 1, len(words) + 1):
            yield ", ".join(words[first:stop])


def _chosen_by(part: str, wanted: Collection[str], labels: Collection[str]) -> set[str]:
    return {part} if part in labels else {label for label in wanted if part in label}
