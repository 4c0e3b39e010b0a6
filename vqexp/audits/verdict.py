"""Deciding the verdict of an audit, and saying how far its attacks can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vqexp.audits.checks import CONTROL, Check
from vqexp.core.estimate import FRACTION, widened

FALLEN = 0.05  # robust accuracy below which a defense is broken, unless guessing gives more
SURE = 0.95  # of the one-sided bound on the worst case
INCOMPLETE = "INCOMPLETE"
RULES = {
    "BROKEN": "we are 95 % sure (one-sided Wilson bound, which allows for draws that images share) that the "
    "worst case lies below 5 %, or below what guessing gives (1 / classes)",
    "WEAKENED": "not broken, but the worst case lies clearly (beyond the 95 % interval, image by image where "
    "both are known) below what the defense keeps against an attacker who ignores it, or below what its "
    "paper reports",
    "TOO FEW IMAGES": "neither, and the worst case lies below the bound of a broken defense, but there are "
    "too few images to be sure of it",
    "ATTACK TOO WEAK": "none of these, and an attack check shows that the attack cannot be trusted",
    "NO BREAK FOUND": "none of these, and no attack check speaks against the attack",
    INCOMPLETE: "rows that make sense for this defense have no record; there is no verdict",
}
NO_CONTROL = (
    "There is no positive control here, points that are known to exist and of which the attack would have to "
    "find 95 %: the other attack checks are all that speaks for it."
)


@dataclass(frozen=True)
class Standing:
    """The numbers that a verdict rests on: accuracies as fractions in [0, 1], None if not measured.

    natural: without attack. worst, interval: the worst case over n images with its 95 % interval. above: by
    how much draws that images share may raise it (95 %, one-sided). by: the attacker that is strongest on
    most images. ignores: accuracy against an attacker who ignores the defense; below_ignores: the worst case
    is clearly lower. reported: the lowest accuracy that a paper reports for this defense. weak: findings of
    the attack checks that failed. run, of: how many rows have a record, and how many make sense for the
    defense.
    """

    natural: float | None
    worst: float | None
    interval: tuple[float, float]
    n: int
    by: str
    ignores: float | None
    below_ignores: bool
    reported: float | None
    classes: int
    weak: Sequence[str]
    run: int
    of: int
    above: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """word: one of `RULES`, with the row count if the audit is unfinished. line: the audit's first line."""

    word: str
    line: str

    @property
    def rule(self) -> str:
        """The rule by which this verdict is given."""
        return RULES[INCOMPLETE if self.word.startswith(INCOMPLETE) else self.word]


def verdict_of(standing: Standing) -> Verdict:
    """Returns the first verdict that applies, in the order of `RULES`, but incomplete first."""
    if standing.run < standing.of or standing.worst is None:
        text = f"{INCOMPLETE} ({standing.run} of {standing.of} rows)"
        return Verdict(text, text)
    below_report = standing.reported is not None and standing.interval[1] < standing.reported
    reasons = []
    bound = max(FALLEN, 1 / standing.classes)
    if surely_below(standing.worst, standing.n, bound, standing.above):
        word = "BROKEN"
    elif standing.below_ignores or below_report:
        word = "WEAKENED"
        if standing.below_ignores and standing.ignores is not None:
            reasons.append(f"{_percent(standing.ignores)} against an attacker who ignores it")
        if below_report and standing.reported is not None:
            reasons.append(f"{_percent(standing.reported)} reported")
    elif standing.worst < bound:
        word = "TOO FEW IMAGES"
    elif standing.weak:
        word, reasons = "ATTACK TOO WEAK", list(standing.weak[:1])
    else:
        word = "NO BREAK FOUND"
    low, high = standing.interval
    before = f"{_percent(standing.natural)} -> " if standing.natural is not None else ""
    found = f"{before}{_percent(standing.worst)} [{100 * low:.1f}, {100 * high:.1f}] by {standing.by}"
    return Verdict(word, f"{word}: {'; '.join([found, *reasons])}")


def surely_below(share: float, n: int, bound: float, above: float = 0.0) -> bool:
    """Whether the one-sided 95 % bound on a share of n images lies below `bound`.

    It is Wilson's, joined with `above` as `vqexp.core.estimate.widened` does.
    """
    from statsmodels.stats.proportion import proportion_confint  # takes a second to import

    _, high = proportion_confint(share * n, n, alpha=2 * (1 - SURE), method="wilson")
    return widened(share, (share, float(high)), above, FRACTION)[1] < bound


def attacker(label: str, kind: str) -> str:
    """Names the attacker of a row: `PGD that knows it`, `AutoAttack that ignores it`, or else its label."""
    attack = label.split(",")[0].split(" that ")[0]
    knows = {"white_box": "knows", "oblivious": "ignores"}.get(kind)
    return f"{attack} that {knows} it" if knows else label


def trust(checks: Sequence[Check], *, complete: bool) -> list[str]:
    """Says how far the attack can be trusted: how many checks held, and what the others found."""
    failed = [check for check in checks if not check.holds]
    lines = [f"{len(checks) - len(failed)} of {len(checks)} attack checks held."]
    if masking := [check.found for check in failed if check.masking]:
        lines.append(f"Gradient masking: {'; '.join(masking)}.")
    if weak := [check.found for check in failed if not check.masking]:
        lines.append(f"The attack is not at its strongest: {'; '.join(weak)}.")
    if any(check.weak for check in failed):
        lines.append("So the worst case is an upper bound: a better attack may leave less.")
    elif complete:
        lines.append("No attack check speaks against the attack.")
    controlled = any(check.name == CONTROL for check in checks)
    return lines if controlled else [*lines, NO_CONTROL]


def opening(head: Mapping[str, str], trusted: Sequence[str]) -> list[str]:
    """Returns the first lines of an audit's page: verdict, its rule, worst case, trust in the attack."""
    verdict = Verdict(head["verdict"], head["line"])
    return [
        f"**{verdict.line}**",
        "",
        f"The rule: {verdict.rule}.",
        "",
        _worst_case(head),
        "",
        *trusted,
    ]


def _worst_case(head: Mapping[str, str]) -> str:
    """States the worst case in a sentence."""
    if not head["worst"]:
        return "No attack was run."
    before = f", {head['natural']} % without attack" if head["natural"] else ""
    ignored = f", {head['ignores']} % against an attacker who ignores the defense" if head["ignores"] else ""
    return (
        f"Worst case, image by image: {head['worst']} % robust accuracy {head['interval']} on {head['n']} "
        f"images{before}{ignored}. By majority vote {head['vote']} %, right in every draw {head['every']} %."
    )


def rules() -> list[str]:
    """Returns the lines that explain each verdict."""
    return ["## The verdicts", "", *(f"- {word}: {rule}." for word, rule in RULES.items())]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
