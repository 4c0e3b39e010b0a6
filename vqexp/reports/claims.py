"""What the papers say of their tables and figures, as checks of numbers: measured ones, or their own.

A claim in a config is {text, place, check, of, than}: `of` and `than` select points
(`vqexp.reports.points.select`), `than` inherits from `of` what it does not name, and points are compared
where they agree in all that it does not name. `than.table` takes points of another table.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vqexp.errors import one_of
from vqexp.reports.comparisons import (
    PLACE,
    Comparison,
    Relation,
    alike,
    bound,
    differs,
    ends,
    no_fall,
    paired,
    steps,
    unequal,
)
from vqexp.reports.points import Point, select

ALMOST_ALL = 0.8  # our reading of "almost all": of the comparisons
WORDS = ("did not hold", "undecided", "held", "not measured")  # what may become of a claim


@dataclass(frozen=True)
class Verdict:
    """held: None where nothing was measured. good of total comparisons; the worst one in words; n images.

    undecided: it fails only through differences that lie within the intervals, and may hold on more images.
    """

    text: str
    place: str
    held: bool | None
    undecided: bool
    good: int
    total: int
    worst: str
    n: tuple[int, int] | None

    @property
    def word(self) -> str:
        """One of `WORDS`."""
        if self.held is None:
            return "not measured"
        return "held" if self.held else "undecided" if self.undecided else "did not hold"


def judge(claim: Mapping[str, Any], own: str, points: Mapping[str, Sequence[Point]]) -> Verdict:
    """Whether the claim holds for the points of its table `own`, by table name."""
    one_of("claim.check", claim["check"], CHECKS)
    compare, decide = CHECKS[claim["check"]]
    of = dict(claim["of"])
    left = select(points.get(of.pop("table", own), ()), of)
    right: list[Point] = []
    dimensions: tuple[str, ...] = PLACE
    if "than" in claim:
        than = dict(claim["than"])
        dimensions = tuple(name for name in PLACE if name not in than)
        other = points.get(than.pop("table", own), ())
        right = select(other, {**of, **than})
    comparisons = compare(left, right, dimensions, claim)
    held = decide(comparisons) if comparisons else None
    doubtful = [replace(c, good=True) if not c.clear else c for c in comparisons]
    worst = min(comparisons, key=lambda c: c.margin, default=None)
    counts = [point.n for point in (*left, *right) if point.n]
    return Verdict(
        text=claim["text"],
        place=claim["place"],
        held=held,
        undecided=held is False and decide(doubtful),
        good=sum(c.good for c in comparisons),
        total=len(comparisons),
        worst=worst.text if worst and comparisons else "",
        n=(min(counts), max(counts)) if counts and comparisons else None,
    )


# how comparisons decide


def _all(comparisons: Sequence[Comparison]) -> bool:
    return all(c.good for c in comparisons)


def _almost_all(comparisons: Sequence[Comparison]) -> bool:
    return sum(c.good for c in comparisons) >= ALMOST_ALL * len(comparisons)


def _one_each(comparisons: Sequence[Comparison]) -> bool:
    groups = defaultdict(list)
    for c in comparisons:
        groups[c.group].append(c.good)
    return all(any(goods) for goods in groups.values())


def _any(comparisons: Sequence[Comparison]) -> bool:
    return any(c.good for c in comparisons)


CHECKS: dict[str, tuple[Relation, Callable[[Sequence[Comparison]], bool]]] = {
    "larger_everywhere": (differs(1), _all),
    "smaller_everywhere": (differs(-1), _all),
    "larger_almost_everywhere": (differs(1), _almost_all),
    "larger_somewhere": (differs(1), _one_each),
    "different": (paired(unequal), _any),
    "alike": (paired(alike), _all),
    "increasing": (steps(1), _all),
    "decreasing": (steps(-1), _all),
    "rises": (ends(1), _all),
    "falls": (ends(-1), _all),
    "does_not_fall": (no_fall, _all),
    "above": (bound(1), _all),
    "below": (bound(-1), _all),
}
