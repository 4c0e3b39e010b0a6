"""An audit in short: the numbers that its verdict rests on, and its line in the table of audits."""

from collections.abc import Mapping
from typing import Any

from vqexp.audits.result import AuditResult
from vqexp.audits.verdict import SURE, Standing, attacker, verdict_of
from vqexp.core.estimate import student
from vqexp.core.text import defense_name, interval, percent, settings_of, size_of
from vqexp.metrics import Member, draws_apart, worst_case
from vqexp.pipeline.outcomes import MOST_RUNS, Outcomes, ids_of, order_of, written_outcomes
from vqexp.reports.spec.reported import least_reported


def standing(result: AuditResult) -> Standing:
    """Returns the numbers that decide the verdict on the audited defense."""
    dataset, defense = result.config["dataset"], result.config["defense"]
    eps = result.config["preset"]["eps"]
    ignorant, worst = _ignorant(result), result.worst.member if result.worst else None
    found = worst.accuracy if worst else None
    shares = result.shares()
    by = max(shares, key=lambda label: shares[label]) if shares else ""
    run, of = result.rows
    natural = [f for f in result.findings.values() if f.kind == "natural"]
    return Standing(
        natural=natural[0].record.metrics["natural_accuracy"].mean if natural else None,
        worst=found.mean if found else None,
        interval=found.ci95 if found else (0.0, 1.0),
        n=found.n if found else 0,
        above=student(found.std, found.runs, 1 - SURE) if found and found.shared else 0.0,
        by=attacker(by, result.findings[by].kind) if by else "",
        ignores=ignorant.accuracy.mean if ignorant else None,
        below_ignores=bool(ignorant and worst and _lower(worst, ignorant)),
        reported=least_reported(dataset["name"], defense_name(defense), defense, eps),
        classes=dataset["num_classes"],
        weak=[check.found for check in result.checks if check.weak and not check.holds],
        run=run,
        of=of,
    )


def headline(result: AuditResult) -> dict[str, str]:
    """Returns the audit's line as texts by name: verdict, defense, dataset, and accuracies in percent."""
    found, config = standing(result), result.config
    verdict = verdict_of(found)
    natural = [
        finding.record.metrics["natural_accuracy"]
        for finding in result.findings.values()
        if finding.kind == "natural"
    ]
    estimates = result.worst.estimates() if result.worst else {}
    ignorant = _ignorant(result)
    held = sum(check.holds for check in result.checks)
    return {
        "of": str(found.of),
        "verdict": verdict.word,
        "line": verdict.line,
        "defense": defense_name(config["defense"]),
        "settings": settings_of(config["defense"]),
        "dataset": config["dataset"]["name"],
        "eps": radius_of(config["preset"]),
        "natural": percent(natural[0]) if natural else "",
        "ignores": percent(ignorant.accuracy) if ignorant else "",
        "worst": percent(estimates["mean"]) if estimates else "",
        "interval": interval(estimates["mean"]) if estimates else "",
        "vote": percent(estimates["vote"]) if estimates else "",
        "every": percent(estimates["all"]) if estimates else "",
        "checks": f"{held} of {len(result.checks)}",
        "n": str(found.n or ""),
        "outcomes": _written(result),
    }


def _written(result: AuditResult) -> str:
    """How each image fared in the worst case, as one word; an empty text if that is not known."""
    if result.worst is None:
        return ""
    worst, dataset = result.worst.member, result.config["dataset"]
    runs = len(worst.outcomes)
    if runs > MOST_RUNS:
        return ""
    ids = ids_of(dataset, worst.ids.tolist())
    right, over_draws = worst.outcomes.sum(0).numpy(), worst.accuracy.over_draws
    return written_outcomes(ids, order_of(dataset), right, runs, over_draws)


def radius_of(preset: Mapping[str, Any]) -> str:
    """Returns the radius of an audit's ball as text: `8/255`, or `0.5 in l2`."""
    return f"{preset['eps_l2']:g} in l2" if preset.get("norm") == "l2" else size_of(preset["eps"])


def _ignorant(result: AuditResult) -> Member | None:
    """Returns the worst case over attackers who ignore the defense, on the same images as the audit's."""
    kinds = {label: result.findings[label].kind for label in result.counted}
    members = [result.findings[label].member for label, kind in kinds.items() if kind == "oblivious"]
    if not members or result.worst is None:
        return None
    return worst_case([member for member in members if member]).member.on(result.worst.member.ids)


def _lower(worst: Member, other: Member) -> bool:
    """Whether accuracy under the first is clearly below that under the second, paired by image."""
    shares = (other.outcomes.double().mean(0) - worst.outcomes.double().mean(0)).numpy()
    return Outcomes("", shares, (-1, 1), over_draws=draws_apart(other, worst)).interval()[0] > 0
