"""Attack checks: whether the attacks of an audit are strong enough to be trusted.

They look for the signs that a defense hides its gradients instead of being robust (Athalye et al. 2018,
section 3.1; Carlini et al. 2019; Croce & Hein 2020).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from vqexp.core.estimate import Estimate
from vqexp.core.text import size_of
from vqexp.metrics import Member, WorstCase, gap, worst_case
from vqexp.pipeline.record import Record

NEAR_ZERO = 0.05  # accuracy that counts as fallen
TOLERANCE = 0.02  # a change in accuracy that counts as none
SHARE_OF_NOISE = 0.5  # of what the attack takes: random noise must take less
SETTINGS = ("eps", "steps", "restarts", "samples")  # of the curves
ENOUGH = 0.95  # of the positive control's points, for the attack to find
CONTROL = "the attack finds points that are known to exist"
FEW_ZEROS = 0.01  # images whose gradient may vanish


@dataclass(frozen=True)
class Finding:
    """One row of an audit. member, natural: its outcomes on attacked and on clean images, if it has them.

    losses: those that the attack met on the way, (n, restarts, steps), if it says so.
    """

    kind: str
    record: Record
    member: Member | None
    natural: Member | None
    losses: Tensor | None = None


@dataclass(frozen=True)
class Check:
    """One attack check. found: what was seen, if it does not hold.

    masking: a failure is a sign of gradient masking. weak: after a failure the attack cannot be trusted.
    """

    name: str
    holds: bool
    detail: str
    found: str = ""
    masking: bool = False
    weak: bool = True


def attack_checks(
    findings: Mapping[str, Finding], counted: Sequence[str], worst: WorstCase | None
) -> list[Check]:
    """Returns the checks that these rows allow. counted: labels of the rows that make up the worst case."""
    checks = [
        *control_checks(findings),
        *gradient_checks(findings),
        *_against_others(findings, counted),
        *_curves(findings),
    ]
    noise = [finding for finding in findings.values() if finding.kind == "noise"]
    if noise and noise[0].member and noise[0].natural and worst:
        checks.append(_against_noise(noise[0].natural, noise[0].member, worst.member))
    return checks


def control_checks(findings: Mapping[str, Finding]) -> list[Check]:
    """Checks that the attack finds nearly all adversarial points that are known to exist (the control)."""
    checks = []
    for finding in findings.values():
        if finding.kind != "control" or not finding.record.metrics["control_found"].known:
            continue
        found, chance = (finding.record.metrics[f"control_{name}"] for name in ("found", "by_chance"))
        share = f"finds {percent_of(found.mean)} of {found.n} points that are known to be adversarial"
        by_chance = f"random sampling {percent_of(chance.mean)}"
        detail = f"it {share}, {by_chance}"
        checks.append(Check(CONTROL, found.mean >= ENOUGH, detail, f"the attack {share}, {by_chance}"))
    return checks


def gradient_checks(findings: Mapping[str, Finding]) -> list[Check]:
    """Checks that each gradient exists. One that vanishes is masking; the attack is weak if all do."""
    seen = []
    for label, finding in findings.items():
        if finding.kind != "gradients":
            continue
        metrics = finding.record.metrics
        zero, bad = (
            metrics["natural_gradient_all_zero"].mean,
            metrics["natural_gradient_not_finite"].mean,
        )
        detail = (
            f"zero on {percent_of(zero)} of images, not finite on {percent_of(bad)}; mean norm "
            f"{_number(metrics['natural_gradient_norm'])}, cosine between draws "
            f"{_number(metrics['natural_gradient_cosine'])}"
        )
        seen.append((label.removeprefix("gradients: "), zero, bad, detail))
    good = [zero <= FEW_ZEROS and bad == 0 for _, zero, bad, _ in seen]
    return [
        Check(
            f"{name} exists",
            holds,
            detail,
            gradient_found(name, zero, bad),
            masking=True,
            weak=not any(good),
        )
        for (name, zero, bad, detail), holds in zip(seen, good, strict=True)
    ]


def gradient_found(name: str, zero: float, bad: float) -> str:
    """Says on how many images a gradient vanishes: `the true gradient is zero on 100 % of images`."""
    shares = {"zero": zero, "not finite": bad}
    parts = [f"{what} on {percent_of(share)} of images" for what, share in shares.items() if share]
    return f"the {name.removeprefix('the ')} is {' and '.join(parts)}"


def _against_others(findings: Mapping[str, Finding], counted: Sequence[str]) -> list[Check]:
    white = [_member(findings[label]) for label in counted if findings[label].kind == "white_box"]
    if not white:
        return []
    strongest, checks = worst_case(white).member, []
    for label in counted:
        if findings[label].kind == "white_box":
            continue
        more, error = gap(strongest, _member(findings[label]))
        leaves = f"{_points(abs(more))} {'more' if more > 0 else 'less'} accuracy"
        checks.append(
            Check(
                f"white-box is at least as strong as: {label}",
                more <= max(TOLERANCE, 2 * error),
                f"white-box leaves {leaves} (standard error {_points(error)})",
                f"the attacks that know the defense leave {leaves} than {label}",
                masking=True,
            )
        )
    return checks


def _against_noise(natural: Member, noise: Member, worst: Member) -> Check:
    """Checks that random noise costs at most half as many images as the attack does."""
    (by_noise, _), (by_attack, error) = gap(natural, noise), gap(natural, worst)
    takes = f"takes {_points(by_noise)}, the worst case {_points(by_attack)}"
    return Check(
        "random noise of the same size is far weaker",
        by_noise <= max(SHARE_OF_NOISE * by_attack, TOLERANCE),
        f"noise {takes} (standard error {_points(error)})",
        f"random noise of the same size {takes}",
    )


def _curves(findings: Mapping[str, Finding]) -> list[Check]:
    checks = []
    for setting in SETTINGS:
        points = curve(findings, setting)
        if len(points) < 2:
            continue
        (_, before), (value, last) = points[-2:]
        accuracy = float(last.outcomes.double().mean())
        if setting == "eps":
            name, detail = "accuracy falls to (near) zero as eps grows", f"at eps {size_of(value)}"
            seen = percent_of(accuracy)
            found = f"accuracy is still {seen} {detail}"
            checks.append(Check(name, accuracy <= NEAR_ZERO, f"{seen} {detail}", found, masking=True))
            continue
        drop, error = gap(before, last)
        what = "draws" if setting == "samples" else setting
        change = f"{'takes' if drop >= 0 else 'adds'} {_points(abs(drop))}"
        detail = f"to {value:g}, {change} (standard error {_points(error)})"
        holds = drop <= max(TOLERANCE, 2 * error)
        found = f"the last increase of {what}, {detail}"
        checks.append(Check(f"more {what} no longer help", holds, f"the last increase, {detail}", found))
    return checks


def curve(findings: Mapping[str, Finding], setting: str) -> list[tuple[float, Member]]:
    """Returns (value, worst case over the series), in order; eps starts at 0, without attack."""
    group = "adversary" if setting == "samples" else "attack"
    points: dict[float, list[Member]] = {}
    for finding in findings.values():
        if finding.kind == f"curve {setting}":
            value = float(finding.record.config[group][setting])
            points.setdefault(value, []).append(_member(finding))
            if setting == "eps" and finding.natural:
                points[0.0] = [finding.natural]
    return [(value, worst_case(members).member) for value, members in sorted(points.items())]


def percent_of(share: float) -> str:
    """Writes a share in [0, 1] as `100 %` or `12.5 %`."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _member(finding: Finding) -> Member:
    assert finding.member is not None
    return finding.member


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _number(estimate: Estimate) -> str:
    return f"{estimate.mean:.3g}" if estimate.known else "-"
