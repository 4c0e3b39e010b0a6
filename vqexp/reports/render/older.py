"""Brings kept audit pages up to date, whose stores are gone.

Those without a verdict get one, by comparing intervals instead of images. Those on random weights get
intervals that allow for the draws that all images share.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqexp.audits.checks import Check, gradient_found
from vqexp.audits.members import Audit
from vqexp.audits.sense import senseless
from vqexp.audits.verdict import Standing, attacker, opening, rules, trust, verdict_of
from vqexp.core.config import CONF
from vqexp.core.estimate import FRACTION, student, widened
from vqexp.core.text import defense_name
from vqexp.reports.analysis.texts import interval_from, settings_from, share_from, size_from
from vqexp.reports.render.audit_page import checks_table, left_out_lines
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.reported import dataset_settings, least_reported

ACCURACY = re.compile(r"([\d.]+) \(([\d.]+)\)( % robust accuracy | \| )(\[[\d., ]+\])")  # with its interval
NOT_RUN = re.compile(r"- Left out \(without a record, [^)]*\): (.*)\.\n")


@dataclass(frozen=True)
class _Row:
    """A line of the page's table of attacks. accuracy, low, high: fractions in [0, 1].

    shown: the accuracy as the page writes it. chosen: on how many images this attack is the strongest.
    """

    kind: str
    accuracy: float
    low: float
    high: float
    shown: str
    chosen: int


def with_verdict(audit: Audit, head: Mapping[str, str], text: str, run: int) -> tuple[dict[str, str], str]:
    """Returns headline and page with the verdict added. run: how many rows have a record."""
    rows = _rows(text)
    checks = [_check(cells) for cells in _table(text, "Evidence")]
    settings = _settings(text)
    not_run = _labels(NOT_RUN.search(text), audit)
    classes = dataset_settings(head["dataset"])["num_classes"]
    refused = senseless(audit, _defense(head, settings), classes)
    refused = {label: why for label, why in refused.items() if label in not_run}
    missing = [label for label in not_run if label not in refused]
    ignoring = [row for row in rows.values() if row.kind == "oblivious"]
    ignores = min(ignoring, key=lambda row: row.accuracy, default=None)
    by = max(rows, key=lambda label: rows[label].chosen)
    low, high = interval_from(head["interval"])
    verdict = verdict_of(
        Standing(
            natural=share_from(head["natural"]),
            worst=share_from(head["worst"]),
            interval=(low, high),
            n=int(head["n"]),
            by=attacker(by, rows[by].kind),
            ignores=ignores.accuracy if ignores else None,
            below_ignores=ignores is not None and high < ignores.low,
            reported=least_reported(head["dataset"], head["defense"], settings, size_from(head["eps"])),
            classes=classes,
            weak=[check.found for check in checks if check.weak and not check.holds],
            run=run,
            of=run + len(missing),
        )
    )
    known = {
        "of": str(run + len(missing)),
        "verdict": verdict.word,
        "line": verdict.line,
        "settings": ", ".join(f"{name}={value}" for name, value in settings.items()),
        "ignores": ignores.shown if ignores else "",
    }
    found = {**head, **known}
    text = NOT_RUN.sub("\n".join([*left_out_lines(refused, missing), ""]), text)
    return found, _rewritten(text, opening(found, trust(checks, complete=not missing)), checks)


def with_shared_draws(head: Mapping[str, str], text: str) -> tuple[dict[str, str], str]:
    """Returns headline and page of an audit, whose intervals are over images alone, with wider ones."""
    runs = int(head["outcomes"].split(":")[2])

    def wider(found: re.Match[str]) -> str:
        mean, std = float(found[1]) / 100, float(found[2]) / 100
        low, high = widened(mean, interval_from(found[4]), student(std, runs), FRACTION)
        return f"{found[1]} ({found[2]}){found[3]}[{100 * low:.1f}, {100 * high:.1f}]"

    interval = ACCURACY.sub(wider, f"{head['worst']} | {head['interval']}").split(" | ")[1]
    line = head["line"].replace(head["interval"], interval)
    std = re.search(r"\(([\d.]+)\)", head["worst"])  # a single run has none
    over_draws = student(float(std[1]) / 100, runs) if std else 0.0
    text = ACCURACY.sub(wider, text.replace(head["line"], line))
    text = re.sub(
        r"a 95 % Wilson interval\nover the images", "a 95 % interval, which allows\nfor shared draws", text
    )
    return {
        **head,
        "interval": interval,
        "line": line,
        "outcomes": f"{head['outcomes']}:{over_draws:.6g}",
    }, text


def _rewritten(text: str, first: Sequence[str], checks: Sequence[Check]) -> str:
    """Returns the page with a new opening, its checks in today's words, and the rules of the verdicts."""
    title, rest = text.split("\n\n", 1)
    rest = rest[rest.index("Defense: ") :]
    evidence = re.compile(r"## Evidence\n.*?\n\n(?=##|!|Commit)", re.S)
    rest = evidence.sub("\n".join([*checks_table(checks), "", ""]), rest)
    body, origin = rest.rstrip("\n").rsplit("\n\n", 1)
    return "\n\n".join([title, "\n".join(first), body, "\n".join(rules()), origin]) + "\n"


def _table(text: str, heading: str) -> list[list[str]]:
    """Returns the cells of the table under a heading, without the table's first two lines."""
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _rows(text: str) -> dict[str, _Row]:
    return {
        label: _Row(
            kind.replace(" ", "_"), share_from(shown) or 0, *interval_from(interval), shown, int(chosen or 0)
        )
        for label, kind, shown, interval, _, _, chosen, _ in _table(text, "Attacks")
    }


def _check(cells: Sequence[str]) -> Check:
    """Returns the check that a line of the older page states, in today's words."""
    name, holds, detail = cells
    gradient = re.fullmatch(r"(.*) does not vanish", name)
    if gradient:
        zero, bad = (float(share) / 100 for share in re.findall(r"([\d.]+) %", detail)[:2])
        found = gradient_found(gradient[1], zero, bad)
        # an attack that follows another gradient may be strong all the same
        return Check(f"{gradient[1]} exists", holds == "yes", detail, found, masking=True, weak=False)
    masking = name.startswith(("white-box", "accuracy falls"))
    return Check(name, holds == "yes", detail, f"no: {name} ({detail})", masking=masking)


def _labels(match: re.Match[str] | None, audit: Audit) -> list[str]:
    """Returns the audit's rows that a line lists; longest first, as labels contain one another."""
    left, found = match[1] if match else "", []
    for label in sorted(audit.kinds(), key=len, reverse=True):
        if label in left:
            left = left.replace(label, "", 1)
            found.append(label)
    return [label for label in audit.kinds() if label in found]


def _settings(text: str) -> dict[str, Any]:
    """The defense's, from `Defense: swRD(s=3, k=25). Written by:`."""
    written = re.search(r"^Defense: \w+\((.*)\)\. Written by:", text, re.M)
    return settings_from(written[1] if written else "")


def _defense(head: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the `_target_` that the page's name of the defense stands for."""
    configs = [read_settings(path) for path in sorted((CONF / "defense").glob("*.yaml"))]
    target = next((c["_target_"] for c in configs if defense_name(c) == head["defense"]), None)
    return {"_target_": target, **settings}
