"""Is the attack of an audit strong enough? Checks on its members and curves, each with what it rests on.

After Athalye et al. 2018, section 3.1, Carlini et al. 2019 and Croce & Hein 2020: signs that a defense hides
its gradients instead of being robust.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqexp.metrics import Member, WorstCase, gap, worst_case
from vqexp.reports.summary import size_of

NEAR_ZERO = 0.05  # accuracy that counts as fallen
TOLERANCE = 0.02  # a change in accuracy that counts as none
FAR_WEAKER = 0.10  # by how much noise must fall short of the attack
SETTINGS = ("eps", "steps", "restarts", "samples")  # of the curves
FEW_ZEROS = 0.01  # images whose gradient may vanish


@dataclass(frozen=True)
class Finding:
    """One row of an audit. member, natural: its images attacked and not; None where the row has none."""

    kind: str
    record: Mapping[str, Any]
    member: Member | None
    natural: Member | None


@dataclass(frozen=True)
class Check:
    """One piece of evidence. masking: its failure is a sign of gradient masking."""

    name: str
    holds: bool
    detail: str
    masking: bool = False


def evidence(findings: Mapping[str, Finding], counted: Sequence[str], worst: WorstCase | None) -> list[Check]:
    """All checks that the rows allow. counted: labels of the members of the worst case."""
    checks = [*_gradients(findings), *_against_others(findings, counted), *_curves(findings)]
    noise = [finding for finding in findings.values() if finding.kind == "noise"]
    if noise and noise[0].member and worst:
        less, error = gap(noise[0].member, worst.member)
        checks.append(
            Check(
                "random noise of the same size is far weaker",
                less >= FAR_WEAKER,
                f"under noise {_points(less)} above the worst case (standard error {_points(error)})",
            )
        )
    return checks


def _gradients(findings: Mapping[str, Finding]) -> list[Check]:
    checks = []
    for label, finding in findings.items():
        if finding.kind != "gradients":
            continue
        metrics = finding.record["metrics"]
        zero, bad = (
            metrics["natural_gradient_all_zero"]["mean"],
            metrics["natural_gradient_not_finite"]["mean"],
        )
        name = label.removeprefix("gradients: ")
        detail = (
            f"{100 * zero:.1f} % of images have a gradient of zero, {100 * bad:.1f} % one that is not "
            f"finite; mean norm {_number(metrics['natural_gradient_norm'])}, cosine between draws "
            f"{_number(metrics['natural_gradient_cosine'])}"
        )
        checks.append(Check(f"{name} does not vanish", zero <= FEW_ZEROS and bad == 0, detail, masking=True))
    return checks


def _against_others(findings: Mapping[str, Finding], counted: Sequence[str]) -> list[Check]:
    white = [_member(findings[label]) for label in counted if findings[label].kind == "white_box"]
    if not white:
        return []
    strongest, checks = worst_case(white).member, []
    for label in counted:
        if findings[label].kind == "white_box":
            continue
        more, error = gap(strongest, _member(findings[label]))
        checks.append(
            Check(
                f"white-box is at least as strong as: {label}",
                more <= max(TOLERANCE, 2 * error),
                f"white-box leaves {_points(abs(more))} {'more' if more > 0 else 'less'} accuracy "
                f"(standard error {_points(error)})",
                masking=True,
            )
        )
    return checks


def _curves(findings: Mapping[str, Finding]) -> list[Check]:
    checks = []
    for setting in SETTINGS:
        points = curve(findings, setting)
        if len(points) < 2:
            continue
        (_, before), (value, last) = points[-2:]
        accuracy = float(last.outcomes.double().mean())
        if setting == "eps":
            name, holds = "accuracy falls to (near) zero as eps grows", accuracy <= NEAR_ZERO
            checks.append(Check(name, holds, f"{100 * accuracy:.1f} % at eps {size_of(value)}", masking=True))
            continue
        drop, error = gap(before, last)
        name = f"more {'draws' if setting == 'samples' else setting} no longer help"
        change = f"{'takes' if drop >= 0 else 'adds'} {_points(abs(drop))}"
        detail = f"the last increase, to {value:g}, {change} (standard error {_points(error)})"
        checks.append(Check(name, drop <= max(TOLERANCE, 2 * error), detail))
    return checks


def curve(findings: Mapping[str, Finding], setting: str) -> list[tuple[float, Member]]:
    """(value, worst case of the series) along a setting, in order; along eps from 0, without attack."""
    group = "adversary" if setting == "samples" else "attack"
    points: dict[float, list[Member]] = {}
    for finding in findings.values():
        if finding.kind == f"curve {setting}":
            value = float(finding.record["config"][group][setting])
            points.setdefault(value, []).append(_member(finding))
            if setting == "eps" and finding.natural:
                points[0.0] = [finding.natural]
    return [(value, worst_case(members).member) for value, members in sorted(points.items())]


def verdict(checks: Sequence[Check]) -> list[str]:
    """In plain words: what held, what did not, and whether gradients are masked."""
    failed = [check for check in checks if not check.holds]
    lines = [f"{len(checks) - len(failed)} of {len(checks)} checks held."]
    masking = [check for check in failed if check.masking]
    if masking:
        reasons = "; ".join(f"not so: {check.name} ({check.detail})" for check in masking)
        lines.append(f"Gradient masking: {reasons}.")
    weak = [check for check in failed if not check.masking]
    if weak:
        reasons = "; ".join(f"not so: {check.name} ({check.detail})" for check in weak)
        lines.append(f"The attack may not be at its strongest: {reasons}.")
    if not failed:
        lines.append("Nothing suggests that a stronger attack of these kinds would find much less.")
    return lines


def _member(finding: Finding) -> Member:
    assert finding.member is not None
    return finding.member


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _number(estimate: Mapping[str, Any]) -> str:
    return "-" if estimate["mean"] is None else f"{estimate['mean']:.3g}"
