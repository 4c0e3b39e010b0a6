"""What a claim is: which numbers of a table or figure are compared, and how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from string import Formatter
from typing import Any

from vqexp.core.errors import one_of, require

COMPARES = (  # points of `of` with those of `than`
    "larger_everywhere",
    "smaller_everywhere",
    "at_least_everywhere",
    "at_most_everywhere",
    "larger_almost_everywhere",
    "larger_somewhere",
    "different",
    "alike",
)
FOLLOWS = ("increasing", "decreasing", "rises", "falls", "does_not_fall")  # points of `of` along x
BOUNDS = ("above", "below")  # each point of `of` against `bound`
CHECKS = (*COMPARES, *FOLLOWS, *BOUNDS)


@dataclass(frozen=True)
class Claim:
    """What a paper says of its numbers, and where; `vqexp.reports.analysis.judge` decides whether it holds.

    check: one of `CHECKS`. of, than: which points, by series, panel, x and column
    (`vqexp.reports.analysis.points.select`); `than` takes from `of` what it does not name, and its `table`
    takes points of another table. Points are compared where they agree in all that `than` does not name.
    by: the least difference. bound: what `above` and `below` compare with. ours: no paper says it, but its
    numbers must satisfy it. hangs_on: the choice of ours that decides the claim, which is then not judged.
    reason: why it does not hold as measured: {text, cells}, the text with `{name}` for the value of a cell,
    and each cell's name with its [table, row, column].
    """

    text: str
    place: str
    check: str
    of: Mapping[str, Any]
    than: Mapping[str, Any] | None = None
    by: float | None = None
    bound: float | None = None
    ours: bool = False
    hangs_on: str = ""
    reason: Mapping[str, Any] | None = None


def load_claims(kind: str, entries: Iterable[Mapping[str, Any] | Claim]) -> list[Claim]:
    """Returns the claims in a table's or figure's config; raises `ConfigError` for one that cannot be judged.

    kind: `table` or `figure`, as the message is to name it.
    """
    return [each if isinstance(each, Claim) else _claim(f"{kind}.claims", each) for each in entries]


def _claim(name: str, entry: Mapping[str, Any]) -> Claim:
    known = [each.name for each in fields(Claim)]
    for key in entry:
        require(key in known, f"{name} has a claim with {key}; a claim has {', '.join(known)}")
    text = entry["text"]
    for key in ("place", "check", "of"):
        require(key in entry, f"{name}: {text!r} has no {key}")
    claim = Claim(**entry)
    one_of(f"the check of {name}, {text!r},", claim.check, CHECKS)
    require(claim.check not in COMPARES or claim.than is not None, f"{name}: {text!r} has no `than`")
    require(claim.check not in BOUNDS or claim.bound is not None, f"{name}: {text!r} has no `bound`")
    if claim.reason is not None:
        _check_reason(f"the reason of {name}, {text!r},", claim.reason)
    return claim


def _check_reason(name: str, told: Mapping[str, Any]) -> None:
    require(set(told) == {"text", "cells"}, f"{name} must have text and cells")
    named = {field for _, field, _, _ in Formatter().parse(told["text"]) if field is not None}
    require(
        named == set(told["cells"]), f"{name} names {sorted(named)} and has cells {sorted(told['cells'])}"
    )
    for cell in told["cells"].values():
        require(
            isinstance(cell, list) and len(cell) == 3, f"{name} has {cell}; it must be [table, row, column]"
        )
