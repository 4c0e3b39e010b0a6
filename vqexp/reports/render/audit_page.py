"""The page of an audit: the verdict first, then every member and the attack checks."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from vqexp.audits.checks import SETTINGS, Check, curve, percent_of
from vqexp.audits.members import Audit
from vqexp.audits.result import AuditResult
from vqexp.audits.standing import headline
from vqexp.audits.strength import STRENGTH
from vqexp.audits.tries import TRIES, by_tries, disagreement
from vqexp.audits.verdict import opening, rules, trust
from vqexp.core.text import interval, literal, percent, size_of
from vqexp.reports.render.audit_indicators import indicators_table
from vqexp.reports.render.audit_strength import strength_table
from vqexp.reports.render.origin import in_low_precision, origin
from vqexp.reports.spec.settings import from_overrides, to_overrides

# settings of the adversary that are a surrogate's
SURROGATE = (
    "classifier@adversary",
    "training@adversary",
    *(f"{plus}adversary.{name}" for plus in ("", "+") for name in ("classifier", "training", "seed")),
)
CURVE = re.compile(rf"^(curve: \w+|{STRENGTH}) .*")  # the label of a point of a curve


def audit_page(
    result: AuditResult, command: str, picture: str | None = None, notes: Sequence[str] = ()
) -> str:
    """Returns the page in Markdown.

    command: what ran the audit. picture: file name of the drawn curves. notes: what was measured of the model
    before the attacks.
    """
    head = headline(result)
    defense = literal(head["defense"])
    lines = [
        f"# Audit: {defense} on {head['dataset']}, eps {head['eps']}",
        "",
        *opening(head, trust(result.checks, complete=not result.missing)),
        "",
        *(line for note in notes for line in (f"Measured beforehand: {note}.", "")),
        f"Defense: {defense}({literal(head['settings'])}). Written by:",
        "",
        f"    {command}",
        "",
        "## Attacks",
        "",
        "Robust accuracy in percent: one draw, majority vote, right in every draw; a 95 % interval (Wilson's",
        "over the images, wider where these share a draw). *worst on*: images on which this attack has the",
        "lowest mean margin, on draws that are not reported.",
        "",
        *_members(result),
        "",
        *left_out_lines(result.left_out, result.missing),
        "",
        *checks_table(result.checks),
        "",
        *indicators_table(result),
        *_curves(result),
        *strength_table(result),
        *_tries(result),
        *([f"![robust accuracy along each setting]({picture})", ""] if picture else []),
        *rules(),
        "",
        origin([finding.record for finding in result.findings.values()]),
        "",
    ]
    return "\n".join(lines)


def checks_table(checks: Sequence[Check]) -> list[str]:
    """Returns the table of attack checks."""
    return [
        "## Attack checks",
        "",
        "| check | holds | |",
        "| --- | --- | --- |",
        *(f"| {check.name} | {'yes' if check.holds else '**no**'} | {check.detail} |" for check in checks),
    ]


def _members(result: AuditResult) -> list[str]:
    lines = [
        "| attack | knows | one draw | 95 % | vote | every draw | worst on | n |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    shares = result.shares()
    for label, finding in result.findings.items():
        if finding.kind.startswith(("curve", "gradients", "control", STRENGTH)):
            continue
        metrics = finding.record.metrics
        name = "robust" if finding.member else "natural"
        mean, vote, every = (metrics[f"{name}_accuracy{suffix}"] for suffix in ("", "_vote", "_all"))
        worst = str(shares.get(label, ""))
        entries = (
            label,
            finding.kind.replace("_", " "),
            percent(mean),
            interval(mean),
            percent(vote),
            percent(every),
            worst,
            str(mean.n),
        )
        lines.append("| " + " | ".join(entries) + " |")
    return lines


def left_out_lines(left_out: Mapping[str, str], missing: Sequence[str]) -> list[str]:
    """Lists the rows that make no sense for the defense, by reason, and those that have no record yet."""
    by_reason: dict[str, list[str]] = {}
    for label, reason in left_out.items():
        by_reason.setdefault(reason, []).append(label)
    lines = [f"- Left out ({reason}): {_names(labels)}." for reason, labels in by_reason.items()]
    return [*lines, *([f"- Not run yet: {_names(missing)}."] if missing else [])]


def _names(labels: Sequence[str]) -> str:
    """Lists rows; those of one curve together, with their number."""
    curves: dict[str, list[str]] = {}
    for label in labels:
        curves.setdefault(CURVE.sub(r"\1", label), []).append(label)
    return "; ".join(own[0] if len(own) == 1 else f"{name} ({len(own)} rows)" for name, own in curves.items())


def _curves(result: AuditResult) -> list[str]:
    lines = []
    for setting in SETTINGS:
        points = curve(result.findings, setting)
        if len(points) < 2:
            continue
        estimates = [member.accuracy for _, member in points]
        values = [size_of(value) if setting == "eps" else f"{value:g}" for value, _ in points]
        lines += [
            f"## Robust accuracy by {setting} (n {estimates[0].n})",
            "",
            "| " + " | ".join([setting, *values]) + " |",
            "| --- " * (len(points) + 1) + "|",
            "| " + " | ".join(["%", *(percent(estimate) for estimate in estimates)]) + " |",
            "",
        ]
    return lines


def _tries(result: AuditResult) -> list[str]:
    """Returns the table by tries, and how often draws disagree on clean images; none of a fixed defense."""
    if result.worst is None or len(result.worst.member.outcomes) < 2:
        return []
    found = by_tries(result.worst.member)
    clean = next((each.natural for each in result.findings.values() if each.natural), None)
    apart = disagreement(clean) if clean else None
    return [
        "## Robust accuracy by tries, in the worst case",
        "",
        "| N | " + " | ".join(str(each.number) for each in found) + " |",
        "| --- " * (len(found) + 1) + "|",
        "| right in each of N tries, % | " + " | ".join(f"{100 * each.every:.1f}" for each in found) + " |",
        "| right in more than half, % | " + " | ".join(f"{100 * each.most:.1f}" for each in found) + " |",
        "",
        *([f"With metric.runs={TRIES[-1]}, N goes to {TRIES[-1]}."] if found[-1].number < TRIES[-1] else []),
        *(
            [f"On clean images one of two draws is wrong, the other right: {percent_of(apart)}."]
            if apart
            else []
        ),
        "",
    ]


def command_of(audit: Audit, result: AuditResult) -> str:
    """Returns the command of the audit: the overrides that its rows share beyond the audit's own."""
    kinds, records = audit.kinds(), {label: finding.record for label, finding in result.findings.items()}
    told = {
        label: from_overrides(record.overrides)
        for label, record in records.items()
        if kinds[label] != STRENGTH  # whose defense is another
    }
    own = from_overrides([*audit.common, *audit.judged, *audit.strong]).items()
    shared = {
        name: value
        for name, value in next(iter(told.values())).items()
        if all(name in row and row[name] == value for row in told.values())
        and (name, value) not in [*own, ("metric", "gradients"), ("attack", "none")]
        and name not in ("dataset.root", "dataset.n")  # n is the audit's own
    }
    if "classifier.checkpoint" in shared:
        shared["classifier.checkpoint"] = "FILE"
    surrogate = {
        name: value
        for label, row in told.items()
        if kinds[label] == "transfer"
        for name, value in row.items()
        if name.startswith(SURROGATE)
    }
    shown = to_overrides(shared)
    if surrogate:
        shown.append(shlex.quote(f"table.surrogate={json.dumps(to_overrides(surrogate))}"))
    low = [label for label, record in records.items() if in_low_precision(record)]
    names = dict.fromkeys(CURVE.sub(r"\1", label) for label in low)
    more = [f"    # with precision=bfloat16 besides: {'; '.join(names)}"] if names else []
    return "\n".join([" ".join(["python run.py -m", f"table={audit.name}", *shown]), *more])
