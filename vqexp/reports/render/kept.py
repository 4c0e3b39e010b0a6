"""The measurements that `results/` keeps, so that the next report adds to them.

A store holds images, weights and counts by the gigabyte and stays on the machine that made it. The numbers
travel: `records.jsonl.gz` has the record of every cell shown, `audits.csv` the headline of every audit page.
A record carries how each image fared (`vqexp.pipeline.outcomes`), where the store knew.
A record with `provenance.restored_from` was put together from the CSV of that name, its store being lost; its
`facts.violation` is the largest of its table.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqexp import results
from vqexp.audits.members import Audit
from vqexp.core.atomic import write_atomically
from vqexp.core.errors import ConfigError, one_line
from vqexp.core.keys import key_of
from vqexp.core.notes import note
from vqexp.core.store import Store
from vqexp.pipeline.older import SHARED
from vqexp.pipeline.outcomes import with_outcomes
from vqexp.pipeline.reading import SEAL, sealed
from vqexp.pipeline.record import Record
from vqexp.pipeline.write import settings_that_matter
from vqexp.reports.analysis.gather import Section
from vqexp.reports.render.older import with_shared_draws, with_verdict
from vqexp.reports.spec.table import Table

RECORDS, AUDITS = "records.jsonl.gz", "audits.csv"
AUDIT_COLUMNS = {  # of a headline -> what a table of audits calls it
    "verdict": "verdict",
    "dataset": "data",
    "eps": "eps",
    "natural": "no attack",
    "ignores": "attacker ignores it",
    "worst": "worst case",
    "interval": "95 % interval",
    "vote": "majority vote",
    "every": "every draw",
    "checks": "attack checks held",
    "n": "n",
}
AUDITS_TEXT = "Each image's worst case over all attacks, chosen on other draws than those that judge it."


@dataclass(frozen=True)
class AuditPage:
    """An audit as the report shows it.

    head: its headline (`vqexp.audits.standing.headline`). text: its page in Markdown. rows: how many were
    run.
    """

    head: Mapping[str, str]
    text: str
    rows: int


def measurements(store: str | Path, folder: Path) -> list[Record]:
    """Returns the store's records and those that an earlier report left in `folder`, but no smoke runs."""
    found = {record.key: record for record in _published(folder / RECORDS)}
    for record in results.records(store, strict=False):
        if not record.smoke:
            before = found.get(record.key)
            if before is not None and before.outcomes:
                record = record.model_copy(update={"outcomes": before.outcomes})
            found[record.key] = with_outcomes(record, Store(store))
    return [record for _, record in sorted(found.items()) if not record.smoke]


def _published(path: Path) -> list[Record]:
    """Returns the records of an earlier report; of a damaged file a copy stays, as it is written anew."""
    try:
        return results.records(path)
    except ConfigError:
        set_aside(path)
        return results.records(path, strict=False)


def set_aside(path: Path) -> None:
    """Copies a damaged file to `NAME.damaged`, and says so."""
    copy = path.with_name(f"{path.name}.damaged")
    write_atomically(copy, path.read_bytes())
    note(f"{path} is damaged; it is kept as {copy.name}, and the report takes what is whole in it")


def records_file(shown: Iterable[tuple[Table, Section]]) -> bytes:
    """Returns the content of `records.jsonl.gz`: the record of every cell shown, one a line, by key.

    A record keeps the outcomes of the accuracies that its cells show.
    """
    found: dict[str, Record] = {}
    metrics: dict[str, set[str]] = {}
    for table, section in shown:
        metric_of = {cell.place: cell.metric for cell in table.cells()}
        for place, every in section.measured.items():
            for record in every:
                found[record.key] = record
                metrics.setdefault(record.key, set()).add(metric_of[place])
    for key, record in found.items():
        kept = {name: right for name, right in record.outcomes.items() if name in metrics[key]}
        found[key] = record.model_copy(update={"outcomes": kept}) if record.outcomes else record
    text = "".join(json.dumps(sealed(_portable(record))) + "\n" for _, record in sorted(found.items()))
    return gzip.compress(text.encode(), mtime=0)  # without a date, so that the same records are the same file


def _portable(record: Record) -> dict[str, Any]:
    """Returns the record without what is meaningless elsewhere: paths, and keys of its store."""
    config = {**settings_that_matter(record.config), "preset": record.config["preset"]}
    identity = record.classifier
    config["classifier"] = {**config["classifier"], "checkpoint": identity.get("checkpoint")}
    if "start" in config.get("training", {}):
        config["training"] = {**config["training"], "start": identity.get("training", {}).get("start")}
    told = [text for text in record.overrides if text.startswith("scale.")]  # config says the rest
    kept = {name: value for name, value in record.plain().items() if name not in ("artifacts", "counts")}
    return {**kept, "config": config, "overrides": told}


def kept_audits(folder: Path, audit: Audit) -> dict[str, AuditPage]:
    """Returns, by name, the audits that an earlier report left in `folder`; older ones get a verdict."""
    path = folder / AUDITS
    if not path.exists():
        return {}
    found, damaged = {}, False
    for number, head in enumerate(csv.DictReader(io.StringIO(path.read_text(errors="replace"))), 2):
        try:
            name, page = _kept_audit(head, folder, audit)
            found[name] = page
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            damaged = True
            note(f"{path}, line {number}, or its page is damaged ({one_line(error)}); it is left out")
    if damaged:
        set_aside(path)
    return found


def _kept_audit(head: dict[str, str], folder: Path, audit: Audit) -> tuple[str, AuditPage]:
    """Returns name and page of one line; raises an error of any kind if it is none."""
    seal = head.pop(SEAL, None)
    if seal is not None and seal != key_of(head):
        raise ValueError("its checksum is not that of its contents")
    if None in head or None in head.values():
        raise ValueError("it has other columns than the first line")
    name, rows = head.pop("name"), int(head.pop("rows"))
    text = (folder / "audits" / f"{name}.md").read_text()
    if "verdict" not in head:
        known, text = with_verdict(audit, head, text, rows)
        return name, AuditPage(known, text, rows)
    if f"vqexp.defenses.{head['defense']}" in SHARED and head.get("outcomes", "").count(":") == 3:
        head, text = with_shared_draws(head, text)
    return name, AuditPage(head, text, rows)


def _as_read(line: Mapping[str, Any], columns: list[str]) -> dict[str, str]:
    """Returns a line as a CSV file gives it back: texts, and an empty one for what is missing."""
    return {name: "" if line.get(name) is None else str(line[name]) for name in columns}


def audits_text(audits: Mapping[str, AuditPage]) -> str:
    """Returns the content of `audits.csv`: a line for each audit, accuracies in percent."""
    text = io.StringIO()
    lines = [{"name": name, "rows": audit.rows, **audit.head} for name, audit in audits.items()]
    first = ("name", "verdict", "rows", "of")
    others = [name for name in dict.fromkeys(name for line in lines for name in line) if name not in first]
    writer = csv.DictWriter(text, [*first, *others, SEAL], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**line, SEAL: key_of(_as_read(line, [*first, *others]))} for line in lines)
    return text.getvalue()
