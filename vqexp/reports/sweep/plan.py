"""Planning a sweep: the runs that a table or figure needs, and which cells each run fills."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.figure import Figure, load_figure
from vqexp.reports.spec.settings import group_of, to_overrides
from vqexp.reports.spec.table import Table, load_table
from vqexp.reports.sweep.smoke import smoke


@dataclass(frozen=True)
class Plan:
    """jobs: overrides of each run. places: (table, cell, number of its job)."""

    jobs: list[list[str]]
    places: list[tuple[Table, Cell, int]]

    @classmethod
    def of(cls, plans: "Sequence[Plan]") -> "Plan":
        """Returns one plan after the other."""
        jobs: list[list[str]] = []
        places = []
        for plan in plans:
            places += [(table, cell, len(jobs) + job) for table, cell, job in plan.places]
            jobs += plan.jobs
        return cls(jobs, places)

    def without(self, jobs: Collection[int]) -> "Plan":
        """Returns the plan without some jobs and the cells that they fill."""
        kept = [number for number in range(len(self.jobs)) if number not in jobs]
        places = [(table, cell, kept.index(job)) for table, cell, job in self.places if job not in jobs]
        return Plan([self.jobs[number] for number in kept], places)


def make_plan(tables: Sequence[Table], shared: Sequence[str], *, smoke_test: bool) -> Plan:
    """Returns the jobs, column by column, so that cheap ones come first. Cells of a table that differ in
    their metric alone share a job.

    shared: overrides that follow each cell's own. Those of `classifier` are left out for cells with an f of
    their own, chosen by `classifier` or `training`. In a smoke test many cells become the same, and share a
    job.
    """
    jobs: dict[tuple[str, ...], list[str]] = {}
    places = []
    for table in tables:
        for cell in table.cells():
            if smoke_test:
                small = replace(cell, settings=smoke(cell.settings))
                key, job = tuple(to_overrides(small.settings)), [*small.overrides(), *shared]
            else:
                own = not {"classifier", "training"}.isdisjoint(cell.settings)
                spared = [text for text in shared if not (own and group_of(text) == "classifier")]
                key, job = (table.name, *to_overrides(cell.settings)), [*cell.overrides(), *spared]
            jobs.setdefault(key, job)
            places.append((table, cell, list(jobs).index(key)))
    return Plan(list(jobs.values()), places)


def chosen(settings: Mapping[str, Any], kind: str) -> tuple[list[Table], Figure | None]:
    """Returns the tables to run for `table=` or `figure=` (kind), and the figure if there is one."""
    if kind == "table":
        return [load_table(settings)], None
    figure = load_figure(settings)
    return figure.tables, figure
