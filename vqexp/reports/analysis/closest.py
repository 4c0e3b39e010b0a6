"""Which reading of what a paper leaves open comes closest to all that it reports."""

from collections.abc import Mapping
from statistics import fmean

from vqexp.pipeline.record import Record
from vqexp.reports.analysis.gather import Place
from vqexp.reports.spec.table import Table


def closest(table: Table, records: Mapping[Place, Record]) -> list[str]:
    """Returns a note that ranks the table's readings by their mean absolute difference, in points.

    Only cells count that every reading has which has any. Nothing is said of fewer than two readings.
    """
    found = _differences(table, records)
    if len(found) < 2:
        return []
    shared = set.intersection(*(set(cells) for cells in found.values()))
    if not shared:
        return []
    columns = [name for name in table.columns if any(column == name for _, column in shared)]
    means = {
        reading: [fmean(cells[place] for place in shared)]
        + [fmean(cells[place] for place in shared if place[1] == column) for column in columns]
        for reading, cells in found.items()
    }
    ranked = sorted(means, key=lambda reading: means[reading][0])
    told = "; ".join(
        f"{reading}: {means[reading][0]:.1f} ("
        + ", ".join(f"{name} {mean:.1f}" for name, mean in zip(columns, means[reading][1:], strict=True))
        + ")"
        for reading in ranked
    )
    note = (
        f"Mean absolute difference from the reported values, in points, over the {len(shared)} cells that "
        f"all these readings have: {told}. Closest: **{ranked[0]}**."
    )
    means_that = next((each.get("means") for each in table.readings if each["label"] == ranked[0]), None)
    return [f"{note} {means_that}" if means_that else note]


def _differences(table: Table, records: Mapping[Place, Record]) -> dict[str, dict[Place, float]]:
    """reading -> (row that it is of, column) -> |measured - reported| in points."""
    rows = {row["label"]: row for row in table.rows if "reading" in row}
    found: dict[str, dict[Place, float]] = {}
    for cell in table.cells():
        record, row = records.get(cell.place), rows.get(cell.row)
        if record is None or row is None or not cell.reported:
            continue
        estimate = record.metrics[cell.metric]
        if estimate.known:
            gap = abs(estimate.scale * estimate.mean - cell.reported[0])
            found.setdefault(row["reading"], {})[row["of"], cell.column] = gap
    return found
