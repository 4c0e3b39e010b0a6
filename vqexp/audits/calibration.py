"""The audit on defenses whose robustness is known: what it must say of each, and whether it does."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vqexp.audits.result import AuditResult
from vqexp.audits.standing import headline, standing
from vqexp.audits.verdict import verdict_of
from vqexp.core.errors import one_of, require
from vqexp.metrics import worst_case
from vqexp.reports.spec.shape import check_shape
from vqexp.reports.spec.table import check_parts

EXPECTED = {"broken": "BROKEN", "sound": "NO BREAK FOUND"}  # truth -> verdict
BROKEN_BELOW = 0.05  # worst case of a broken defense
APART = 0.01 + 1e-9  # of a sound one from AutoAttack
REFERENCE = "AutoAttack"


@dataclass(frozen=True)
class Subject:
    """A defense whose robustness is known. truth: `broken` or `sound`."""

    label: str
    truth: str
    overrides: Sequence[str]


@dataclass(frozen=True)
class Calibration:
    """The table of subjects, as `conf/table/calibration.yaml` describes it.

    checkpoints: folder of the subjects' weights. only_rows: None, or parts of the labels of the subjects that
    are audited. attacks: None, or parts of the labels of an audit's rows, instead of those of the scale.
    """

    name: str
    title: str
    source: str
    rows: list[dict[str, Any]]
    checkpoints: str
    attacks: list[str] | None = None
    only_rows: list[str] | None = None

    def subjects(self) -> list[Subject]:
        """Returns the subjects that are asked for."""
        wanted = [
            row
            for row in self.rows
            if self.only_rows is None or any(part in row["label"] for part in self.only_rows)
        ]
        return [Subject(row["label"], row["truth"], self._overrides(row)) for row in wanted]

    def _overrides(self, row: Mapping[str, Any]) -> list[str]:
        start = "classifier.checkpoint="
        return [
            f"{start}{Path(self.checkpoints, text.removeprefix(start))}" if text.startswith(start) else text
            for text in row["overrides"]
        ]


def load_calibration(settings: Mapping[str, Any]) -> Calibration:
    """Returns the table that a config describes; raises `ConfigError` if it is wrong."""
    check_shape("table", settings, [each.name for each in fields(Calibration)])
    require(settings.get("rows"), "table.rows is empty; a calibration needs some")
    table = Calibration(**settings)
    for row in table.rows:
        one_of("table.rows.truth", row.get("truth"), EXPECTED)
    check_parts("table.only_rows", table.only_rows or (), [row["label"] for row in table.rows])
    return table


@dataclass(frozen=True)
class Calibrated:
    """What an audit said of a subject. Accuracies are fractions, None where they are not known.

    autoattack: the worst case over AutoAttack alone; others: over all attacks but AutoAttack. faults: what
    the audit got wrong; none if it is right. command: what ran it.
    """

    label: str
    truth: str
    verdict: str
    natural: float | None
    worst: float | None
    interval: tuple[float, float]
    autoattack: float | None
    others: float | None
    checks: str
    n: int
    faults: tuple[str, ...]
    smoke: bool
    command: str

    def plain(self) -> dict[str, Any]:
        """Returns it as plain data, for JSON."""
        return asdict(self)


def judge_audit(subject: Subject, result: AuditResult, command: str) -> Calibrated:
    """Compares an audit's verdict with the truth. command: what ran it."""
    found = standing(result)
    word = verdict_of(found).word
    autoattack, others = (_worst(result, with_reference=each) for each in (True, False))
    return Calibrated(
        subject.label,
        subject.truth,
        word,
        found.natural,
        found.worst,
        found.interval,
        autoattack,
        others,
        headline(result)["checks"],
        found.n,
        tuple(_faults(subject.truth, word, found.worst, autoattack, others, result)),
        any(finding.record.smoke for finding in result.findings.values()),
        command,
    )


def _worst(result: AuditResult, *, with_reference: bool) -> float | None:
    """Returns accuracy in the worst case over AutoAttack alone, or over all but AutoAttack."""
    labels = [label for label in result.counted if label.startswith(REFERENCE) == with_reference]
    members = [member for label in labels if (member := result.findings[label].member)]
    return worst_case(members).estimates()["mean"].mean if members else None


def _faults(
    truth: str,
    word: str,
    worst: float | None,
    autoattack: float | None,
    others: float | None,
    result: AuditResult,
) -> list[str]:
    """Says what is wrong: the verdict, the worst case, an alarm."""
    faults = [] if word == EXPECTED[truth] else [f"the verdict must be {EXPECTED[truth]}"]
    if truth == "broken" and worst is not None and worst >= BROKEN_BELOW:
        faults.append(f"the worst case must be below {100 * BROKEN_BELOW:g} %")
    if truth == "sound":
        if autoattack is not None and others is not None and abs(others - autoattack) > APART:
            faults.append("the other attacks must lie within 1 point of AutoAttack")
        faults += [
            f"false alarm: {check.found}" for check in result.checks if check.masking and not check.holds
        ]
    return faults
