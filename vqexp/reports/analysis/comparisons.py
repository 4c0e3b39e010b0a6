"""How a claim compares points of a table or figure: each comparison good or not, clear or not."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vqexp.reports.analysis.points import Point

PLACE = ("series", "panel", "x", "column")
ROUNDING = 0.005  # of reported values


@dataclass(frozen=True)
class Comparison:
    """margin: how far it goes the claim's way. group: for checks that want one good comparison in each.

    clear: the 95 % interval of the difference (`Point.minus`) leaves no other outcome.
    """

    good: bool
    margin: float
    text: str
    group: tuple[Any, ...] = ()
    clear: bool = True


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


def paired(judge: Callable[[Point, Point, Mapping[str, Any]], tuple[bool, float, bool]]) -> Relation:
    """Points of `of` against those of `than`; judge: (good, by how much, whether that is clear)."""

    def compare(
        left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Mapping[str, Any]
    ) -> list[Comparison]:
        found = []
        for place, a, b in _matched(left, right, dimensions, claim):
            good, margin, clear = judge(a, b, claim)
            found.append(Comparison(good, margin, f"{_named(a)} against {_named(b)}", place, clear))
        return found

    return compare


def differs(sign: int) -> Relation:
    """Good if sign * difference > 0, or >= the claim's `by`."""

    def judge(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float, bool]:
        margin = sign * (a.value - b.value) - claim.get("by", 0)
        clear = _clear(a, b, sign * claim.get("by", 0))
        return margin > -ROUNDING if "by" in claim else margin > 0, margin, clear

    return paired(judge)


def reaches(sign: int) -> Relation:
    """Good if sign * difference >= 0, which is then clear: equality would do."""

    def judge(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float, bool]:
        margin = sign * (a.value - b.value)
        return margin >= 0, margin, margin >= 0 or _clear(a, b)

    return paired(judge)


def _clear(a: Point, b: Point, by: float = 0) -> bool:
    """Whether there is no doubt on which side of `by` the difference a - b is."""
    low, high = a.minus(b)
    return not low < by < high


def alike(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float, bool]:
    """Good where they may be equal."""
    low, high = a.minus(b)
    margin = min(high, -low)
    return margin >= 0, margin, True


def unequal(a: Point, b: Point, claim: Mapping[str, Any]) -> tuple[bool, float, bool]:
    """Good where the values differ."""
    apart = abs(a.value - b.value)
    return apart > 0, apart, _clear(a, b)


def trend(sign: int) -> Relation:
    """In each panel and series: from each x to the next, good unless it clearly goes back; and the ends."""

    def compare(left: Sequence[Point], *rest: Any) -> list[Comparison]:
        found = []
        for line in _lines(left):
            for a, b in pairwise(line):
                margin = sign * (b.value - a.value)
                good = margin >= 0 or not _clear(b, a)
                found.append(Comparison(good, margin, f"{_named(a)}, then {_named(b)}"))
        return [*found, *ends(sign)(left, *rest)]

    return compare


def ends(sign: int, *, strict: bool = True) -> Relation:
    """The last x against the first, in each panel and series. strict: staying where it was is not enough."""

    def compare(left: Sequence[Point], *_: Any) -> list[Comparison]:
        found = []
        for line in _lines(left):
            a, b = line[0], line[-1]
            if a is not b:
                margin = sign * (b.value - a.value)
                good = margin > 0 if strict else margin >= 0
                text = f"{_named(a)}, at the end {_named(b)}"
                found.append(Comparison(good, margin, text, clear=_clear(b, a) or (good and not strict)))
        return found

    return compare


def bound(sign: int) -> Relation:
    """Each value against the claim's `bound`."""

    def compare(
        left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Mapping[str, Any]
    ) -> list[Comparison]:
        found = []
        for point in left:
            margin = sign * (point.value - claim["bound"])
            clear = not point.low < claim["bound"] < point.high
            found.append(Comparison(margin > 0, margin, _named(point), clear=clear))
        return found

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
