"""Reading an audit: from the records of its rows to the worst case and the attack checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vqexp.audits.checks import Check, Finding, attack_checks
from vqexp.audits.members import KINDS, Audit
from vqexp.audits.sense import senseless
from vqexp.audits.strength import AUDITED, STRENGTH, multiplied, strength_of
from vqexp.core.errors import ConfigError, WorkError
from vqexp.core.keys import key_of
from vqexp.core.store import Store
from vqexp.metrics import Member, WorstCase, worst_case
from vqexp.pipeline.record import Record
from vqexp.reports.spec.cell import TUNING, Cell
from vqexp.reports.spec.fill import by_batch, is_row


@dataclass(frozen=True)
class AuditResult:
    """What the rows of an audit found.

    findings: rows by label. counted: labels of the rows that make up the worst case. worst: None if there
    are none. left_out: rows that make no sense for the defense, with the reason. missing: rows that do make
    sense but have no record; the curve by strength may have none.
    """

    findings: Mapping[str, Finding]
    counted: Sequence[str]
    worst: WorstCase | None
    checks: Sequence[Check]
    left_out: Mapping[str, str]
    missing: Sequence[str]

    @property
    def rows(self) -> tuple[int, int]:
        """Returns how many rows have a record, and how many make sense for the defense."""
        found = sum(finding.kind != STRENGTH for finding in self.findings.values())
        return found, found + len(self.missing)

    @property
    def config(self) -> Mapping[str, Any]:
        """A config whose defense and dataset are those of all rows but the curve by strength."""
        found = self.findings
        own = [finding for label, finding in found.items() if finding.kind != STRENGTH or label == AUDITED]
        return (own or list(found.values()))[0].record.config

    def shares(self) -> dict[str, int]:
        """Returns for each row of the worst case, by label, on how many images it is the strongest."""
        if self.worst is None:
            return {}
        counts = self.worst.chosen.bincount(minlength=len(self.counted)).tolist()
        return dict(zip(self.counted, counts, strict=True))


def read_audit(
    audit: Audit, records: Mapping[str, Record], store: Store, left_out: Mapping[str, str]
) -> AuditResult:
    """Returns what the records, by label of their row, show together.

    left_out: rows that are known to make no sense, with the reason; the other rows are examined here.
    Raises `WorkError` if the counts of a record have gone.
    """
    kinds = audit.kinds()
    findings = {}
    for label, record in records.items():
        counts = counts_of(record, store)
        members = members_of(record, counts)
        findings[label] = Finding(kinds[label], record, *members, counts.get("attack_losses"))
    counted = [label for label, finding in findings.items() if finding.kind in KINDS and finding.member]
    attacked = [member for label in counted if (member := findings[label].member)]
    worst = worst_case(attacked) if attacked else None
    config = next(iter(records.values())).config
    optional = audit.multiples()  # no verdict waits for the curve by strength
    known = {*records, *left_out, *optional}
    refused = senseless(audit, config["defense"], config["dataset"]["num_classes"], known) | dict(left_out)
    return AuditResult(
        findings,
        counted,
        worst,
        attack_checks(findings, counted, worst),
        {label: refused[label] for label in kinds if label in refused and label not in records},
        [label for label in kinds if label not in refused and label not in records and label not in optional],
    )


def counts_of(record: Record, store: Store) -> Mapping[str, Tensor]:
    """Returns what the store has of each image of the record; raises `WorkError` if that has gone."""
    artifact = store.load("counts", record.key)
    if artifact is None:
        raise WorkError(f"{store.path('counts', record.key)} has gone; run the audit again")
    return artifact.tensors


def members_of(record: Record, counts: Mapping[str, Tensor]) -> tuple[Member | None, Member | None]:
    """Returns a record's outcomes on attacked and on clean images, None where it has none."""
    shared = any(estimate.shared for estimate in record.metrics.values())
    adversarial, natural = (
        Member.from_counts(counts, kind, shared=shared) if f"{kind}_report_outcomes" in counts else None
        for kind in ("adversarial", "natural")
    )
    return adversarial, natural


def all_audits(audit: Audit, records: Sequence[Record], store: Store) -> dict[str, AuditResult]:
    """Returns, by name, the result for each audited combination of dataset, eps, classifier and defense."""
    groups: dict[str, dict[str, Record]] = {}
    along: dict[str, list[Record]] = {}  # the curve by strength, by label
    choices, multiples = {cells[0].row: cells for cells in audit.attempts()}, audit.multiples()
    for record in records:
        if record.reported is None or record.reported.table != audit.name:
            continue
        label = record.reported.row
        if not any(is_row(cell.settings, record) for cell in choices.get(label, ())):
            continue
        if label in multiples:
            along.setdefault(label, []).append(record)
            continue
        dataset, defense = record.config["dataset"], record.config["defense"]
        about = key_of(
            dataset["name"],
            record.config["preset"]["eps"],
            record.classifier,
            defense,
            *by_batch(record.config),
        )
        name = f"{dataset['name']}-{defense['_target_'].rsplit('.', 1)[-1].lower()}-{about[:6]}"
        rows = groups.setdefault(name, {})
        if label not in rows or _weight(record) > _weight(rows[label]):
            rows[label] = record
    for rows in groups.values():
        rows |= _along(multiples, choices, next(iter(rows.values())).config, along)
    labels = audit.kinds()
    return {
        name: read_audit(audit, {label: rows[label] for label in labels if label in rows}, store, {})
        for name, rows in sorted(groups.items())
    }


def _along(
    multiples: Mapping[str, float],
    choices: Mapping[str, Sequence[Cell]],
    config: Mapping[str, Any],
    records: Mapping[str, Sequence[Record]],
) -> dict[str, Record]:
    """Returns, by label, the records of the curve by strength through an audit with this config."""
    try:
        name, value = strength_of(config["defense"])
    except ConfigError:  # it declares none, or its package is missing
        return {}
    found = {}
    for label, candidates in records.items():
        strength = {name: multiplied(value, multiples[label])}
        wanted = {**config, "defense": {**config["defense"], **strength}}
        tuned = TUNING in choices[label][0].settings
        same = [each for each in candidates if _about(each.config, tuned) == _about(wanted)]
        if same:
            found[label] = max(same, key=_weight)
    return found


def _about(config: Mapping[str, Any], tuned: bool = False) -> list[Any]:
    """What the rows of a curve by strength share with the audit. tuned: f is fine-tuned for them alone."""
    groups = [config[name] for name in ("defense", "classifier", "training")]
    groups += [None if tuned else config.get("fine_tuning")]
    return [config["dataset"]["name"], config["preset"]["eps"], *groups, *by_batch(config)]


def _weight(record: Record) -> tuple[int, str]:
    return record.config["dataset"]["n"] or 10**9, record.provenance.date
