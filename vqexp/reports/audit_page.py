"""The page of an audit: the worst case first, then every member and the evidence."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqexp.errors import WorkError
from vqexp.metrics import Member, WorstCase, proportion, worst_case
from vqexp.reports.audit import KINDS, Audit
from vqexp.reports.evidence import SETTINGS, Check, Finding, curve, evidence, verdict
from vqexp.reports.summary import defense_name, in_low_precision, interval, percent, provenance, size_of
from vqexp.store import Store, key_of

# settings of the adversary that are a surrogate's
SURROGATE = (
    "classifier@",
    "training@",
    *(f"{plus}adversary.{name}" for plus in ("", "+") for name in ("classifier", "training", "seed")),
)


@dataclass(frozen=True)
class AuditResult:
    """findings: rows by label; counted: labels of the worst case's members; worst: None without any."""

    findings: Mapping[str, Finding]
    counted: Sequence[str]
    worst: WorstCase | None
    checks: Sequence[Check]
    left_out: Mapping[str, str]


def read_audit(
    audit: Audit, records: Mapping[str, Mapping[str, Any]], store: Store, left_out: Mapping[str, str]
) -> AuditResult:
    """From the records of its rows, by label; raises `WorkError` if a record's counts have gone."""
    kinds = audit.kinds()
    findings = {
        label: Finding(kinds[label], record, *_members_of(record, store)) for label, record in records.items()
    }
    counted = [label for label, finding in findings.items() if finding.kind in KINDS and finding.member]
    members = [member for label in counted if (member := findings[label].member)]
    worst = worst_case(members) if members else None
    return AuditResult(findings, counted, worst, evidence(findings, counted, worst), left_out)


def _members_of(record: Mapping[str, Any], store: Store) -> list[Member | None]:
    """What is known of the record's images attacked, and not attacked."""
    artifact = store.load("counts", record["key"])
    if artifact is None:
        raise WorkError(f"{store.path('counts', record['key'])} has gone; run the audit again")
    return [
        Member.from_counts(artifact.tensors, kind) if f"{kind}_report_outcomes" in artifact.tensors else None
        for kind in ("adversarial", "natural")
    ]


def audit_page(result: AuditResult, command: str, picture: str | None = None) -> str:
    """Markdown. picture: file name of the drawn curves."""
    defense = next(iter(result.findings.values())).record["config"]["defense"]
    settings = ", ".join(f"{name}={value}" for name, value in defense.items() if name != "_target_")
    head = headline(result)
    lines = [
        f"# Audit: {head['defense']} on {head['dataset']}, eps {head['eps']}",
        "",
        _headline(result, head),
        "",
        *verdict(result.checks),
        "",
        f"Defense: {head['defense']}({settings}). Written by:",
        "",
        f"    {command}",
        "",
        "## Attacks",
        "",
        "Robust accuracy in percent: one draw, majority vote, right in every draw; a 95 % Wilson interval",
        "over the images. *worst on*: images on which this attack has the lowest mean margin, on draws that",
        "are not reported.",
        "",
        *_members(result),
        *_left_out(result.left_out),
        "",
        "## Evidence",
        "",
        "| check | holds | |",
        "| --- | --- | --- |",
        *(
            f"| {check.name} | {'yes' if check.holds else '**no**'} | {check.detail} |"
            for check in result.checks
        ),
        "",
        *_curves(result),
        *([f"![robust accuracy along each setting]({picture})", ""] if picture else []),
        provenance([finding.record for finding in result.findings.values()]),
        "",
    ]
    return "\n".join(lines)


def headline(result: AuditResult) -> dict[str, str]:
    """The audit in short, as text: what of, and its worst case; accuracies in percent."""
    records = [finding.record for finding in result.findings.values()]
    config = records[0]["config"]
    natural = [
        finding.record["metrics"]["natural_accuracy"]
        for finding in result.findings.values()
        if finding.kind == "natural"
    ]
    estimates = {}
    if result.worst:
        estimates = {name: estimate.to_dict() for name, estimate in result.worst.estimates().items()}
    held = sum(check.holds for check in result.checks)
    return {
        "defense": defense_name(config["defense"]),
        "dataset": config["dataset"]["name"],
        "eps": size_of(config["dataset"]["eps"]),
        "natural": percent(natural[0]) if natural else "",
        "worst": percent(estimates["mean"]) if estimates else "",
        "interval": interval(estimates["mean"]) if estimates else "",
        "vote": percent(estimates["vote"]) if estimates else "",
        "every": percent(estimates["all"]) if estimates else "",
        "checks": f"{held} of {len(result.checks)}",
        "n": str(estimates["mean"]["n"]) if estimates else "",
    }


def _headline(result: AuditResult, head: Mapping[str, str]) -> str:
    if result.worst is None:
        return "No attack was run."
    before = f", {head['natural']} % without attack" if head["natural"] else ""
    return (
        f"**Worst case: {head['worst']} % robust accuracy {head['interval']} on {head['n']} images"
        f"{before}.** By majority vote {head['vote']} %, right in every draw {head['every']} %."
    )


def _members(result: AuditResult) -> list[str]:
    lines = [
        "| attack | knows | one draw | 95 % | vote | every draw | worst on | n |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    shares = result.worst.chosen.bincount(minlength=len(result.counted)).tolist() if result.worst else []
    for label, finding in result.findings.items():
        if finding.kind.startswith(("curve", "gradients")):
            continue
        metrics = finding.record["metrics"]
        name = "robust" if finding.member else "natural"
        mean, vote, every = (metrics[f"{name}_accuracy{suffix}"] for suffix in ("", "_vote", "_all"))
        worst = str(shares[result.counted.index(label)]) if label in result.counted else ""
        entries = (
            label,
            finding.kind.replace("_", " "),
            percent(mean),
            interval(mean),
            percent(vote),
            percent(every),
            worst,
            str(mean["n"]),
        )
        lines.append("| " + " | ".join(entries) + " |")
    return lines


def _left_out(left_out: Mapping[str, str]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for label, reason in left_out.items():
        by_reason.setdefault(reason, []).append(label)
    return ["", *(f"- Left out ({reason}): {', '.join(labels)}." for reason, labels in by_reason.items())]


def _curves(result: AuditResult) -> list[str]:
    lines = []
    for setting in SETTINGS:
        points = curve(result.findings, setting)
        if len(points) < 2:
            continue
        estimates = [proportion(member.outcomes).to_dict() for _, member in points]
        values = [size_of(value) if setting == "eps" else f"{value:g}" for value, _ in points]
        lines += [
            f"## Robust accuracy by {setting} (n {estimates[0]['n']})",
            "",
            "| " + " | ".join([setting, *values]) + " |",
            "| --- " * (len(points) + 1) + "|",
            "| " + " | ".join(["%", *(percent(estimate) for estimate in estimates)]) + " |",
            "",
        ]
    return lines


def all_audits(
    audit: Audit, records: Sequence[Mapping[str, Any]], store: Store
) -> dict[str, tuple[AuditResult, str]]:
    """name -> (result, command) for every (dataset, eps, classifier, defense) that was audited."""
    groups: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in records:
        if not record["reported"] or record["reported"]["table"] != audit.name:
            continue
        dataset, defense = record["config"]["dataset"], record["config"]["defense"]
        about = key_of(dataset["name"], dataset["eps"], record["classifier"], defense)
        name = f"{dataset['name']}-{defense['_target_'].rsplit('.', 1)[-1].lower()}-{about[:6]}"
        rows, label = groups.setdefault(name, {}), record["reported"]["row"]
        if label not in rows or _weight(record) > _weight(rows[label]):
            rows[label] = record
    labels = audit.kinds()
    found = {}
    for name, rows in sorted(groups.items()):
        known = {label: rows[label] for label in labels if label in rows}
        missing = {
            label: "without a record, for the command above to run" for label in labels if label not in rows
        }
        found[name] = read_audit(audit, known, store, missing), _command(audit, known)
    return found


def _weight(record: Mapping[str, Any]) -> tuple[int, str]:
    return record["config"]["dataset"]["n"] or 10**9, record["provenance"]["date"]


def _command(audit: Audit, records: Mapping[str, Mapping[str, Any]]) -> str:
    """What all rows were told, apart from what the audit itself tells them; FILE for a file."""
    kinds = audit.kinds()
    rows = [record["overrides"] for record in records.values()]
    own = {*audit.common, *audit.judged, *audit.strong, "metric=gradients", "attack=none"}
    shared = [text for text in rows[0] if all(text in other for other in rows) and text not in own]
    shown = [
        "classifier.checkpoint=FILE" if text.startswith("classifier.checkpoint=") else text
        for text in dict.fromkeys(shared)
        if not text.startswith(("dataset.root=", "dataset.n="))  # n is the audit's own
    ]
    surrogate = [
        text
        for label, record in records.items()
        for text in record["overrides"]
        if kinds[label] == "transfer" and text.startswith(SURROGATE)
    ]
    if surrogate:
        shown.append(shlex.quote(f"table.surrogate={json.dumps(surrogate)}"))
    low = [label for label, record in records.items() if in_low_precision(record)]
    names = dict.fromkeys(re.sub(r"^(curve: \w+) .*", r"\1", label) for label in low)
    more = [f"    # with precision=bfloat16 besides: {'; '.join(names)}"] if names else []
    return "\n".join([" ".join(["python run.py -m", f"table={audit.name}", *shown]), *more])
