"""Numbers with their place in a table or figure: what claims compare and figures draw."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vqexp.core.errors import require
from vqexp.core.estimate import spread, widened
from vqexp.pipeline.outcomes import Outcomes, outcomes_of
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.caveats import cut_down
from vqexp.reports.analysis.classifier import classifier_key, is_trained
from vqexp.reports.spec.cell import Cell


@dataclass(frozen=True)
class Point:
    """One number with its interval [low, high], in percent if it is a fraction. n: images, 0 if reported.

    outcomes: how often each image was right, if known. f: the classifier's key. cut: how its training was
    cut down; empty if it was not. trainings: the values of several trainings of f; empty for a single one.
    at: x with its name, `k=25`. defense: the choice of it, `swrd`. exact: the number is no sample's. trained:
    f was trained, not given. over_draws: half the interval that draws which all images share give it.
    """

    series: str
    panel: str
    x: float | None
    column: str
    value: float
    low: float
    high: float
    n: int = 0
    outcomes: Outcomes | None = field(default=None, compare=False, repr=False)
    f: str = ""
    cut: str = ""
    trainings: tuple[float, ...] = ()
    at: str = ""
    defense: str = ""
    exact: bool = False
    trained: bool = False
    over_draws: float = 0.0

    def minus(self, other: "Point") -> tuple[float, float]:
        """Returns a 95 % interval of this value less the other.

        It is paired by image if the outcomes of both are known on the same images, and allows for the spread
        of trainings; else it spans the two intervals, as for independent samples.
        """
        apart = self.outcomes.less(other.outcomes) if self.outcomes and other.outcomes else None
        if apart is None:
            return self.low - other.high, self.high - other.low
        low, high = (100 * end for end in apart.interval())
        over = spread(self.trainings, other.trainings)
        return widened((low + high) / 2, (low, high), over, unit="")


def measured_point(cell: Cell, record: Record) -> Point | None:
    """Returns the cell's number from its record; None if the metric has none, as over no images."""
    point = point_of(record, cell.metric)
    if point is None:
        return None
    return replace(
        point,
        series=cell.series,
        panel=cell.panel,
        x=cell.x,
        column=cell.column,
        at=_at(cell),
        defense=_defense(cell),
    )


def point_of(record: Record, metric: str) -> Point | None:
    """Returns the record's number of a metric, in no place yet; None if there is none, as over no images."""
    estimate = record.metrics.get(metric)
    if estimate is None or not estimate.known:
        return None
    # an interval may be unknown, as of a single image
    ends = (end if math.isfinite(end) else estimate.mean for end in estimate.ci95)
    low, high = (estimate.scale * end for end in ends)
    return Point(
        series="",
        panel="",
        x=None,
        column=metric,
        value=estimate.scale * estimate.mean,
        low=low,
        high=high,
        n=estimate.n,
        exact=estimate.exact,
        trained=is_trained(record),
        outcomes=outcomes_of(record, metric),
        f=classifier_key(record),
        cut=cut_down(record),
        trainings=tuple(estimate.scale * mean for mean in estimate.trainings),
        over_draws=estimate.scale * estimate.over_draws,
    )


def reported_point(cell: Cell) -> Point | None:
    """Returns the cell's number in the paper, its interval of no width; None if there is none."""
    if not cell.reported:
        return None
    value = cell.reported[0]
    place = (cell.series, cell.panel, cell.x, cell.column)
    return Point(*place, value, value, value, at=_at(cell), defense=_defense(cell))


def _at(cell: Cell) -> str:
    """The label of a figure's row ends with its x, as `k=25`."""
    return "" if cell.x is None else cell.row.rsplit(", ", 1)[-1]


def _defense(cell: Cell) -> str:
    return str(cell.settings.get("defense", "none"))


def select(points: Sequence[Point], where: Mapping[str, Any]) -> list[Point]:
    """Returns the points that match `where`: series, panel, x and column, each a value, a list, or absent.

    x may be `min` or `max`: that of its panel. A column may be a difference, `natural - robust`.
    """
    columns = _list(where.get("column"))
    if columns is None:
        columns = list(dict.fromkeys(point.column for point in points))
    found = [point for column in columns for point in _column(points, str(column))]
    for name in ("series", "panel"):
        wanted = _list(where.get(name))
        if wanted is not None:
            found = [point for point in found if getattr(point, name) in wanted]
    x = where.get("x")
    if x in ("min", "max"):
        pick = min if x == "min" else max
        return [
            point
            for point in found
            if point.x is not None
            and point.x == pick(p.x for p in found if p.panel == point.panel and p.x is not None)
        ]
    wanted = _list(x)
    return found if wanted is None else [point for point in found if point.x in wanted]


def _column(points: Sequence[Point], column: str) -> list[Point]:
    """Returns a column's points; for a difference of two columns, those where both have one."""
    name, minus, other = column.partition(" - ")
    if not minus:
        return [point for point in points if point.column == name]
    require(other, f"a difference of columns is written `natural - robust`, not {column!r}")
    less = {(p.series, p.panel, p.x): p for p in points if p.column == other}
    found = []
    for point in _column(points, name):
        right = less.get((point.series, point.panel, point.x))
        if right is not None:
            low, high = point.minus(right)
            ours, theirs = point.outcomes, right.outcomes
            found.append(
                replace(
                    point,
                    column=column,
                    value=point.value - right.value,
                    low=low,
                    high=high,
                    n=min(point.n, right.n),
                    outcomes=ours.less(theirs) if ours and theirs else None,
                    trainings=_less(point.trainings, right.trainings),
                    over_draws=math.hypot(point.over_draws, right.over_draws),
                )
            )
    return found


def _less(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Training by training, where the same ones were measured."""
    return tuple(a - b for a, b in zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else ()


def _list(value: Any) -> list[Any] | None:
    return None if value is None else value if isinstance(value, list) else [value]
