"""The comparisons that a claim makes between points: whether each is good, and whether that is clear."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vqexp.reports.analysis.names import column_title
from vqexp.reports.analysis.points import Point
from vqexp.reports.analysis.power import images_needed, over_trainings
from vqexp.reports.spec.claims import Claim

PLACE = ("series", "panel", "x", "column")
ROUNDING = 0.005  # of reported values


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim. good: it agrees with the claim. margin: by how much.

    clear: the 95 % interval of the difference (`Point.minus`) allows no other outcome. group: checks that
    want one good comparison for each place tell the places apart by it. reach: how far that interval, over
    `n` images, goes from the difference towards what would change the outcome. trainings: on each
    side the values by training of f, which the interval allows for. once: two networks are compared, one of
    which was trained only once, so nothing is known of their spread. over_draws: half the interval that
    draws alone give the difference, where all images share them.
    """

    good: bool
    margin: float
    text: str
    group: tuple[Any, ...] = ()
    clear: bool = True
    reach: float = 0.0
    n: int = 0
    trainings: tuple[tuple[float, ...], ...] = ()
    once: bool = False
    over_draws: float = 0.0

    def needed(self, trainings: int | None = None) -> float:
        """Returns how many images would make it clear, if the values stay; infinite where none would.

        trainings: with so many of each f, instead of those that were made.
        """
        made, then = (
            math.hypot(over_trainings(self.trainings, count), self.over_draws) for count in (None, trainings)
        )
        of_images = math.sqrt(max(0.0, self.reach**2 - made**2))
        return images_needed(self.margin, of_images, self.n, then)


def _matched(
    left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Claim
) -> Iterator[tuple[tuple[Any, ...], Point, Point]]:
    """Yields (place, a, b) for points of `of` and `than` at the same place, but never a point with itself."""
    table = (claim.than or {}).get("table")
    elsewhere = table is not None and table != claim.of.get("table")
    for a in left:
        place = _place(a, dimensions)
        for b in right:
            if _place(b, dimensions) == place and (elsewhere or _place(a, PLACE) != _place(b, PLACE)):
                yield place, a, b


def _place(point: Point, dimensions: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(point, name) for name in dimensions)


Relation = Callable[..., list[Comparison]]


def paired(judge: Callable[[Point, Point, Claim], tuple[bool, float, bool, float]]) -> Relation:
    """Compares points of `of` with those of `than`.

    judge returns (good, by how much, clear, the difference at which it would change).
    """

    def compare(
        left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Claim
    ) -> list[Comparison]:
        found = []
        for place, a, b in _matched(left, right, dimensions, claim):
            good, margin, clear, turn = judge(a, b, claim)
            found.append(Comparison(good, margin, _against(a, b), place, clear, *_extent(a, b, turn)))
        return found

    return compare


def differs(sign: int) -> Relation:
    """Good if sign * difference > 0 or, for a claim with `by`, at least that much."""

    def judge(a: Point, b: Point, claim: Claim) -> tuple[bool, float, bool, float]:
        by = claim.by or 0
        margin = sign * (a.value - b.value) - by
        good = margin > 0 if claim.by is None else margin > -ROUNDING
        return good, margin, _clear(a, b, sign * by), sign * by

    return paired(judge)


def reaches(sign: int) -> Relation:
    """Good if sign * difference >= 0; that is always clear, because equality suffices."""

    def judge(a: Point, b: Point, claim: Claim) -> tuple[bool, float, bool, float]:
        margin = sign * (a.value - b.value)
        return margin >= 0, margin, margin >= 0 or _clear(a, b), 0

    return paired(judge)


def _clear(a: Point, b: Point, by: float = 0) -> bool:
    """Whether the interval of a - b lies on one side of `by`."""
    low, high = a.minus(b)
    return not low < by < high


def _extent(
    a: Point, b: Point, turn: float = 0
) -> tuple[float, int, tuple[tuple[float, ...], ...], bool, float]:
    """A comparison's `reach`, `n`, `trainings`, `once` and `over_draws`; a reported value has no images.

    turn: the difference a - b at which the outcome would change.
    """
    low, high = a.minus(b)
    apart = a.value - b.value
    n = min((point.n for point in (a, b) if point.n), default=0)
    once = a.f != b.f and any(point.trained and not point.trainings for point in (a, b))
    reach = apart - low if apart > turn else high - apart
    return reach, n, (a.trainings, b.trainings), once, math.hypot(a.over_draws, b.over_draws)


def alike(a: Point, b: Point, claim: Claim) -> tuple[bool, float, bool, float]:
    """Good if the interval of the difference contains 0."""
    low, high = a.minus(b)
    margin = min(high, -low)
    return margin >= 0, margin, True, 0


def unequal(a: Point, b: Point, claim: Claim) -> tuple[bool, float, bool, float]:
    """Good if the values differ."""
    apart = abs(a.value - b.value)
    return apart > 0, apart, _clear(a, b), 0


def trend(sign: int) -> Relation:
    """Along each line: a step from one x to the next is good unless it clearly goes back. Adds the ends."""

    def compare(left: Sequence[Point], *rest: Any) -> list[Comparison]:
        found = []
        for line in _lines(left):
            for a, b in pairwise(line):
                margin = sign * (b.value - a.value)
                good = margin >= 0 or not _clear(b, a)
                text = f"{_named(a)}, then {_named(b)}"
                found.append(Comparison(good, margin, text, (), True, *_extent(b, a)))
        return [*found, *ends(sign)(left, *rest)]

    return compare


def ends(sign: int, *, strict: bool = True) -> Relation:
    """Along each line, compares the last x with the first. strict: equality is not enough."""

    def compare(left: Sequence[Point], *_: Any) -> list[Comparison]:
        found = []
        for line in _lines(left):
            a, b = line[0], line[-1]
            if a is not b:
                margin = sign * (b.value - a.value)
                good = margin > 0 if strict else margin >= 0
                text = f"{_named(a)}, at the end {_named(b)}"
                clear = _clear(b, a) or (good and not strict)
                found.append(Comparison(good, margin, text, (), clear, *_extent(b, a)))
        return found

    return compare


def bound(sign: int) -> Relation:
    """Compares each value with the claim's `bound`."""

    def compare(
        left: Sequence[Point], right: Sequence[Point], dimensions: Sequence[str], claim: Claim
    ) -> list[Comparison]:
        found, end = [], claim.bound or 0
        for point in left:
            margin = sign * (point.value - end)
            clear = not point.low < end < point.high
            reach = point.value - point.low if point.value > end else point.high - point.value
            extent = reach, point.n, (point.trainings,), False, point.over_draws
            found.append(Comparison(margin > 0, margin, _named(point), (), clear, *extent))
        return found

    return compare


def _lines(points: Sequence[Point]) -> list[list[Point]]:
    lines = defaultdict(list)
    for point in points:
        if point.x is not None:
            lines[point.panel, point.series, point.column].append(point)
    return [sorted(line, key=lambda point: point.x or 0) for line in lines.values()]


def _against(a: Point, b: Point) -> str:
    """Returns `PGD: swRD 34.1 against pRD 52.6`: first what both have in common."""
    ours, theirs = _where(a), _where(b)
    both = [text for text, other in zip(ours, theirs, strict=True) if text == other and text]
    left, right = (
        " ".join([*(text for text, same in zip(own, other, strict=True) if text != same and text), number])
        for own, other, number in ((ours, theirs, f"{a.value:.4g}"), (theirs, ours, f"{b.value:.4g}"))
    )
    return f"{', '.join(both)}{': ' if both else ''}{left} against {right}"


def _named(point: Point) -> str:
    return f"{', '.join(text for text in _where(point) if text)}: {point.value:.4g}"


def _where(point: Point) -> tuple[str, ...]:
    at = point.at or ("" if point.x is None else f"x={point.x:g}")
    return (point.panel, point.series, column_title(point.column), at)
