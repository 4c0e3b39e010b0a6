"""What a table's numbers say as a whole, beside the notes of its config."""

from collections.abc import Mapping, Sequence

from vqexp.pipeline.record import Record
from vqexp.reports.analysis.closest import closest
from vqexp.reports.analysis.deviations import deviations
from vqexp.reports.analysis.gather import Place
from vqexp.reports.analysis.trainings import together
from vqexp.reports.spec.table import Table


def notes(table: Table, measured: Mapping[Place, Sequence[Record]]) -> list[str]:
    """Returns lines; none where there is nothing to say. measured: of each cell the records by seed."""
    records = {place: together(every) for place, every in measured.items()}
    return [*closest(table, records), *deviations(table, measured)]
