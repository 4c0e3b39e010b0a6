"""The value of a single cell of a table or figure, as measured and as reported."""

from collections.abc import Mapping, Sequence

from vqexp.core.estimate import Estimate
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.points import Point, measured_point
from vqexp.reports.render.material import Entry
from vqexp.reports.spec.cell import Cell

Where = Sequence[str]  # table, row, column


class Lookup:
    """Finds cells by table, row and column."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries: Mapping[str, Entry] = {entry.table.name: entry for entry in entries}
        self._cells = {
            name: {cell.place: cell for cell in entry.table.cells()} for name, entry in self._entries.items()
        }

    def measured(self, where: Where) -> Estimate | None:
        """Returns the cell's estimate by the most complete classifier; None if it is not measured."""
        found = self._found(where)
        estimate = found[1].metrics.get(found[0].metric) if found else None
        return estimate if estimate is not None and estimate.known else None

    def point(self, where: Where) -> Point | None:
        """Returns the same with its interval, and how each image fared where that is known."""
        found = self._found(where)
        return measured_point(*found) if found else None

    def _found(self, where: Where) -> tuple[Cell, Record] | None:
        entry, place = self._entries[where[0]], (where[1], where[2])
        record = entry.sections[0].records.get(place) if entry.sections else None
        return (self._cells[where[0]][place], record) if record else None

    def reported(self, where: Where) -> float | None:
        """Returns what the paper has in the cell, in percent; None if it has nothing there."""
        table, row, column = where
        (found,) = [entry for entry in self._entries[table].table.rows if entry["label"] == row]
        values = found.get("reported", {}).get(column)
        return float(values[0]) if values else None
