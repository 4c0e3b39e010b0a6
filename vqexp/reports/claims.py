"""What the papers say of their tables and figures, as checks of numbers: measured ones, or their own.

A claim in a config is {text, place, check, of, than}: `of` and `than` select points
(`vqexp.reports.points.select`), `than` inherits from `of` what it does not name, and points are compared
where they agree in all that it does not name. `than.table` takes points of another table.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vqexp.errors import one_of
from vqexp.reports.points import Point, select

PLACE = ("series", "panel", "x", "column")
ALMOST_ALL = 0.8  # our reading of "almost all": of the comparisons
ROUNDING = 0.005  # of reported values


@dataclass(frozen=True)
class Verdict:
    """held: None where nothing was measured. good of total comparisons; the worst one in words; n images."""

    text: str
    place: str
    held: bool | None
    good: int
    total: int
    worst: str
    n: tuple[int, int] | None

    @property
    def word(self) -> str:
        """`held`, `did not hold` or `not measured`."""
        return "not measured" if self.held is None else "held" if self.held else "did not hold"


@dataclass(frozen=True)
class Comparison:
    """margin: how far it goes the claim's way. group: for checks that want one good comparison in each."""

    good: bool
    margin: float
    text: str
    group: tuple[Any, ...] = ()


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
    worst = min(comparisons, key=lambda c: c.margin, default=None)
    counts = [point.n for point in (*left, *right) if point.n]
    return Verdict(
        text=claim["text"],
        place=claim["place"],
        held=held,
        good=sum(c.good for c in comparisons),
        total=len(comparisons),
        worst=worst.text if worst and comparisons else "",
        n=(min(counts), max(counts)) if counts and comparisons else None,
    )


# how points are compared


def _matched(
    left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Mapping[str, Any]
) -> Iterator[tuple[tuple[Any, ...], Point, Point]]:
    """(place, a, b) for points of `of` and `than` at the same place; none is compared with itself."""
    elsewhere = "table" in claim["than"] and claim["than"]["table"] != claim["of"].get("table")
    for a in left:
        place = _place(a, dimensions)
        for b in right:
            if _place(b, dimensions) == place and (elsewhere or _place(a, PLACE) != _place(b, PLACE)):
                yield place, a, b


def _place(point: Point, dimensions: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(point, name) for name in dimensions)


Relation = Callable[..., list[Comparison]]


def _paired(judge: Callable[[Point, Point, Mapping[str, Any]], tuple[bool, float]]) -> Relation:
    """Points of `of` against those of `than`; judge: (good, by how much)."""

    def compare(
        left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Mapping[str, Any]
    ) -> list[Comparison]:
        found = []
        for place, a, b in _matched(left, right, dimensions, claim):
            good, margin = judge(a, b, claim)
            found.append(Comparison(good, margin, f"{_named(a)} against {_named(b)}", place))
        return found

    return compare


def _differs(sign: int) -> Relation:
    """Good if sign * difference > 0, or >= the claim's `by`."""

    def judge(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float]:
        margin = sign * (a.value - b.value) - claim.get("by", 0)
        return margin > -ROUNDING if "by" in claim else margin > 0, margin

    return _paired(judge)


def _alike(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float]:
    """Good where the intervals overlap."""
    overlap = min(a.high, b.high) - max(a.low, b.low)
    return overlap >= 0, overlap


def _unequal(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float]:
    """Good where the values differ."""
    apart = abs(a.value - b.value)
    return apart > 0, apart


def _steps(sign: int) -> Relation:
    """From each x to the next, in each panel and series; good unless it clearly goes the other way."""

    def compare(left: Sequence[Point], *_: Any) -> list[Comparison]:
        found = []
        for line in _lines(left):
            for a, b in pairwise(line):
                back = a.low - b.high if sign > 0 else b.low - a.high
                margin = sign * (b.value - a.value)
                found.append(Comparison(back <= 0, margin, f"{_named(a)}, then {_named(b)}"))
        return found

    return compare


def _ends(sign: int) -> Relation:
    """The last x against the first, in each panel and series."""

    def compare(left: Sequence[Point], *_: Any) -> list[Comparison]:
        found = []
        for line in _lines(left):
            a, b = line[0], line[-1]
            if a is not b:
                margin = sign * (b.value - a.value)
                found.append(Comparison(margin > 0, margin, f"{_named(a)}, at the end {_named(b)}"))
        return found

    return compare


def _no_fall(left: Sequence[Point], *_: Any) -> list[Comparison]:
    """The last x is not clearly lower than the first."""
    found = []
    for line in _lines(left):
        a, b = line[0], line[-1]
        if a is not b:
            text = f"{_named(a)}, at the end {_named(b)}"
            found.append(Comparison(b.high >= a.low, b.value - a.value, text))
    return found


def _bound(sign: int) -> Relation:
    """Each value against the claim's `bound`."""

    def compare(
        left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Mapping[str, Any]
    ) -> list[Comparison]:
        margins = [(sign * (point.value - claim["bound"]), point) for point in left]
        return [Comparison(margin > 0, margin, _named(point)) for margin, point in margins]

    return compare


def _lines(points: Sequence[Point]) -> list[list[Point]]:
    lines = defaultdict(list)
    for point in points:
        if point.x is not None:
            lines[point.panel, point.series, point.column].append(point)
    return [sorted(line, key=lambda point: point.x or 0) for line in lines.values()]


def _named(point: Point) -> str:
    where = [point.panel, point.series, point.column, "" if point.x is None else f"x={point.x:g}"]
    return f"{', '.join(text for text in where if text)}: {point.value:.4g}"


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
    "larger_everywhere": (_differs(1), _all),
    "smaller_everywhere": (_differs(-1), _all),
    "larger_almost_everywhere": (_differs(1), _almost_all),
    "larger_somewhere": (_differs(1), _one_each),
    "different": (_paired(_unequal), _any),
    "alike": (_paired(_alike), _all),
    "increasing": (_steps(1), _all),
    "decreasing": (_steps(-1), _all),
    "rises": (_ends(1), _all),
    "falls": (_ends(-1), _all),
    "does_not_fall": (_no_fall, _all),
    "above": (_bound(1), _all),
    "below": (_bound(-1), _all),
}
