"""A reported value beside the measured one, as text."""

from collections.abc import Sequence

from vqexp.core.estimate import Estimate
from vqexp.core.text import interval, runs, shown
from vqexp.reports.spec.cell import Cell


def comparison(cell: Cell, estimate: Estimate) -> tuple[str, ...]:
    """Returns (reported, measured, interval, difference, runs, n) as texts, fractions in percent."""
    return (
        reported_text(cell.reported),
        shown(estimate),
        interval(estimate),
        difference(cell, estimate),
        runs(estimate),
        str(estimate.n),
    )


def reported_text(reported: Sequence[float] | None) -> str:
    """Returns `61.20 (0.31)` or `61.20`; an empty text if nothing is reported."""
    if not reported:
        return ""
    return f"{reported[0]:.2f}" + (f" ({reported[1]:.2f})" if len(reported) > 1 else "")


def difference(cell: Cell, estimate: Estimate) -> str:
    """Returns measured less reported in points, with its sign; an empty text if one is missing."""
    if not cell.reported or not estimate.known:
        return ""
    return f"{estimate.scale * estimate.mean - cell.reported[0]:+.2f}"


def outside(cell: Cell, estimate: Estimate) -> bool:
    """Whether the reported value lies outside the measured one's interval."""
    if not cell.reported or not estimate.known:
        return False
    low, high = estimate.ci95
    return not low <= cell.reported[0] / estimate.scale <= high
