"""Printing a table's cells, before and after they are run, and its claims."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table as RichTable

from vqexp.core.errors import one_of
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.judge import Judgement
from vqexp.reports.render.comparison import comparison, reported_text
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.table import Table


def print_table(table: Table, measured: Sequence[tuple[Cell, Record]]) -> None:
    """Prints reported beside measured, a line for each cell."""
    lines = _lines(table, "measured", "95 % interval", "difference", "runs", "n")
    for cell, record in measured:
        one_of(f"the metric of {table.name}, {cell.row}, {cell.column},", cell.metric, record.metrics)
        lines.add_row(cell.row, cell.column, *comparison(cell, record.metrics[cell.metric]))
    _console().print(lines)


def print_preview(table: Table, states: Mapping[tuple[str, str], tuple[str, str]]) -> None:
    """Prints each cell with its state and time, by row and column; one that is not run says what it is."""
    lines = _lines(table, "state", "time")
    for cell in table.cells(quoted=True):
        state, time = (cell.quoted, "") if cell.quoted else states[cell.place]
        lines.add_row(cell.row, cell.column, reported_text(cell.reported), state, time)
    _console().print(lines)
    cached = sum(state == "cached" for state, _ in states.values())
    measured = sum(state.startswith("measured") for state, _ in states.values())
    more = f", {measured} measured otherwise" if measured else ""
    print(f"{cached} of {len(states)} cells cached{more}")


def print_claims(judgements: Sequence[Judgement]) -> None:
    """Prints a line for each claim of which something was measured."""
    for found in judgements:
        if found.held is None:
            continue
        counts = f" ({found.good} of {found.total} comparisons)" if found.total else ""
        told = "".join(f"; {text}" for text in found.beside)
        print(f"{found.word}{counts}{told}: {found.text} ({found.place})")


def _lines(table: Table, *headings: str) -> RichTable:
    lines = RichTable(title=f"{table.title} ({table.source})", title_justify="left")
    for heading in ("row", "column", "reported", *headings):
        lines.add_column(heading)
    return lines


def _console() -> Console:
    """Returns a console of at least 120 columns, even if the output is no terminal."""
    return Console(highlight=False, width=max(Console().width, 120))
