"""Judging a claim: whether it holds for numbers, measured ones or the paper's own."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vqexp.core.text import span
from vqexp.reports.analysis.comparisons import (
    PLACE,
    Comparison,
    Relation,
    alike,
    bound,
    differs,
    ends,
    paired,
    reaches,
    trend,
    unequal,
)
from vqexp.reports.analysis.points import Point, select
from vqexp.reports.analysis.power import Needed, needed
from vqexp.reports.spec.claims import Claim

Decide = Callable[[Sequence[Comparison]], bool]
FEW = 30  # images: a claim on fewer says so
ALMOST_ALL = 0.8  # our reading of "almost all": of the comparisons
WORDS = ("did not hold", "undecided", "held", "not judged", "not measured")  # what may become of a claim


@dataclass(frozen=True)
class Judgement:
    """What became of a claim. held: None if nothing was measured.

    good of total comparisons agree with it, and `clear` of them lie beyond their intervals. worst: the worst
    comparison in words. n: fewest and most images. undecided: unclear comparisons decide, so more images may
    change the outcome. hangs_on: why the claim is not judged; empty if it is. caveats: what a reader has to
    know of the measurement. needed: what would decide it, None if it is decided. reason: why it
    did not hold, as far as that is measured, or what it lacks to be measured.
    """

    text: str
    place: str
    held: bool | None
    undecided: bool
    good: int
    clear: int
    total: int
    worst: str
    n: tuple[int, int] | None
    hangs_on: str = ""
    caveats: tuple[str, ...] = ()
    needed: Needed | None = None
    reason: str = ""

    @property
    def word(self) -> str:
        """One of `WORDS`."""
        return "not judged" if self.hangs_on else self.told

    @property
    def told(self) -> str:
        """What the numbers alone say."""
        if self.held is None:
            return "not measured"
        return "held" if self.held else "undecided" if self.undecided else "did not hold"

    @property
    def outcome(self) -> str:
        """The word with its counts: `held in 6 of 6`, `did not hold: 2 of 8 agree`."""
        if not self.total or self.word == "not judged":
            return self.word
        if self.word == "held":
            return f"held in {self.counts}"
        return f"{self.word}: {self.good} of {self.total} agree" + (
            "" if self.clear == self.total else f", {self.clear} clear"
        )

    @property
    def beside(self) -> tuple[str, ...]:
        """The remarks beside the word: why it is not judged, did not hold or is not measured, images needed,
        caveats.
        """
        found = [f"hangs on {self.hangs_on}"] if self.hangs_on else []
        if self.word in ("did not hold", "not measured") and self.reason:
            found.append(self.reason)
        if self.word == "undecided" and self.needed is not None:
            found.append(str(self.needed))
        return (*found, *self.caveats)

    @property
    def counts(self) -> str:
        """`5 of 8` or `5 of 8, 3 clear`; an empty text if nothing was measured."""
        told = f"{self.good} of {self.total}" if self.total else ""
        return told if self.clear == self.total else f"{told}, {self.clear} clear"


def judge(
    claim: Claim,
    own: str,
    points: Mapping[str, Sequence[Point]],
    brittle: Mapping[str, str] | None = None,
) -> Judgement:
    """Decides whether the claim of the table `own` holds; points: by name of their table.

    brittle: what to say of brittle classifiers, by `Point.f`.
    """
    compare, decide = RULES[claim.check]
    of = dict(claim.of)
    left = select(points.get(of.pop("table", own), ()), of)
    right: list[Point] = []
    dimensions: tuple[str, ...] = PLACE
    if claim.than is not None:
        than = dict(claim.than)
        dimensions = tuple(name for name in PLACE if name not in than)
        other = points.get(than.pop("table", own), ())
        right = select(other, {**of, **than})
    comparisons = compare(left, right, dimensions, claim)
    at_worst, at_best = _outcomes(comparisons, decide)
    worst = min(comparisons, key=lambda c: c.margin, default=None)
    measured = [point for point in (*left, *right) if point.n]
    counts = [point.n for point in measured if not point.exact]
    return Judgement(
        text=claim.text,
        place=claim.place,
        held=at_worst if comparisons else None,
        undecided=at_best and not at_worst,
        good=sum(c.good for c in comparisons),
        clear=sum(c.clear for c in comparisons),
        total=len(comparisons),
        worst=worst.text if worst and comparisons else "",
        n=(min(counts), max(counts)) if counts and comparisons else None,
        hangs_on=claim.hangs_on,
        caveats=(*once(comparisons), *caveats(measured, brittle or {})) if comparisons else (),
        needed=_needed(comparisons, decide) if counts and at_worst != at_best else None,
    )


def _outcomes(comparisons: Sequence[Comparison], decide: Decide) -> tuple[bool, bool]:
    """Whether the claim holds if all unclear comparisons go against it, and if all go with it."""
    at_worst = decide([replace(c, good=c.good and c.clear) for c in comparisons])
    return at_worst, decide([replace(c, good=c.good or not c.clear) for c in comparisons])


def _needed(comparisons: Sequence[Comparison], decide: Decide) -> Needed:
    """What would make enough comparisons clear, if the values stay."""

    def images(trainings: int | None) -> float:
        least = {id(c): c.needed(trainings) for c in comparisons if not c.clear}
        for n in sorted(least.values()):
            then = [replace(c, clear=c.clear or least[id(c)] <= n) for c in comparisons]
            if len(set(_outcomes(then, decide))) == 1:
                return n
        return math.inf

    unclear = [c for c in comparisons if not c.clear]
    trained = any(len(values) > 1 for c in unclear for values in c.trainings)
    equal, draws = any(c.margin == 0 for c in unclear), any(c.over_draws > 0 for c in unclear)
    return needed(images, trained=trained, equal=equal, draws=draws)


def once(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Returns the caveat that networks are compared whose trainings may differ as much as they do."""
    count = sum(c.once for c in comparisons)
    return (f"{count} of {len(comparisons)} compare networks trained once",) if count else ()


def caveats(points: Sequence[Point], brittle: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the caveats of measured points: few images, brittle classifiers, trainings cut down."""
    found = []
    if few := sorted({point.n for point in points if point.n < FEW and not point.exact}):
        found.append(f"few images: n {span(few)}")
    classifiers = {point.f for point in points}
    for f in sorted(classifiers & set(brittle)):
        found.append(f"{'rests' if len(classifiers) == 1 else 'partly rests'} on one f, {brittle[f]}")
    return (*found, *sorted({point.cut for point in points if point.cut}))


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


# by the claim's check: how points are compared, and how the comparisons decide
RULES: dict[str, tuple[Relation, Decide]] = {
    "larger_everywhere": (differs(1), _all),
    "smaller_everywhere": (differs(-1), _all),
    "at_least_everywhere": (reaches(1), _all),
    "at_most_everywhere": (reaches(-1), _all),
    "larger_almost_everywhere": (differs(1), _almost_all),
    "larger_somewhere": (differs(1), _one_each),
    "different": (paired(unequal), _any),
    "alike": (paired(alike), _all),
    "increasing": (trend(1), _all),
    "decreasing": (trend(-1), _all),
    "rises": (ends(1), _all),
    "falls": (ends(-1), _all),
    "does_not_fall": (ends(1, strict=False), _all),
    "above": (bound(1), _all),
    "below": (bound(-1), _all),
}
