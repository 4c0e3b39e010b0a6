"""The runs that a table or figure takes, and which cell each serves."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqexp.reports.spec.figure import Figure, load_figure
from vqexp.reports.spec.table import Cell, Table, load_table
from vqexp.reports.sweep.smoke import smoke


@dataclass(frozen=True)
class Plan:
    """jobs: overrides of each run. places: (table, cell, number of its job)."""

    jobs: list[list[str]]
    places: list[tuple[Table, Cell, int]]

    def without(self, jobs: Collection[int]) -> "Plan":
        """The plan less some jobs and the cells that they serve."""
        kept = [number for number in range(len(self.jobs)) if number not in jobs]
        places = [(table, cell, kept.index(job)) for table, cell, job in self.places if job not in jobs]
        return Plan([self.jobs[number] for number in kept], places)


def make_plan(tables: Sequence[Table], shared: Sequence[str], *, smoke_test: bool) -> Plan:
    """One job a cell, in the order of the columns, so that cheap ones come first.

    shared: overrides for every cell, after its own; those of `classifier` spare cells that name their own f,
    by `classifier=` or by the `training=` that it comes from.
    In a smoke test many cells become the same, and the same job serves them.
    """
    jobs: dict[tuple[str, ...], list[str]] = {}
    places = []
    for table in tables:
        for cell in table.cells():
            if smoke_test:
                key = tuple(smoke(cell.settings))
                job = [*key, cell.overrides[-1], *shared]
            else:
                key = (table.name, *cell.overrides)
                own = any(override.startswith(("classifier=", "training=")) for override in cell.settings)
                job = [*cell.overrides, *(s for s in shared if not (own and s.startswith("classifier")))]
            jobs.setdefault(key, job)
            places.append((table, cell, list(jobs).index(key)))
    return Plan(list(jobs.values()), places)


def chosen(settings: Mapping[str, Any], kind: str) -> tuple[list[Table], Figure | None]:
    """The tables to run for `table=` or `figure=` (kind), and the figure."""
    if kind == "table":
        return [load_table(settings)], None
    figure = load_figure(settings)
    return figure.tables, figure
