"""What `results/` keeps of the measurements behind it, so that the next report adds to it.

A store holds images, weights and counts by the gigabyte and stays on the machine that made it. The numbers
travel: `records.jsonl.gz` has the record of every cell shown, `audits.csv` the headline of every audit page.
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

from vqexp import results
from vqexp.pipeline.record import settings_that_matter
from vqexp.reports.gather import Record, Section

RECORDS, AUDITS = "records.jsonl.gz", "audits.csv"


@dataclass(frozen=True)
class AuditPage:
    """An audit as the report shows it.

    head: in short, as `vqexp.reports.audit_page.headline` has it. text: its page in Markdown. rows: how many
    of its rows were run.
    """

    head: Mapping[str, str]
    text: str
    rows: int


def measurements(store: str | Path, folder: Path) -> list[Record]:
    """Records of tables and figures: the store's, and those that an earlier report left in `folder`.

    Smoke runs are no measurements.
    """
    every = [*results.records(folder / RECORDS), *results.records(store)]
    found = {record["key"]: record for record in every}
    return [record for _, record in sorted(found.items()) if not record["smoke"] and record["reported"]]


def records_file(sections: Iterable[Section]) -> bytes:
    """`records.jsonl.gz`: the record of every cell in the sections, one a line, sorted by their keys."""
    found = {record["key"]: record for section in sections for record in section.records.values()}
    text = "".join(json.dumps(_portable(record)) + "\n" for _, record in sorted(found.items()))
    return gzip.compress(text.encode(), mtime=0)  # without a date, so that the same records are the same file


def _portable(record: Record) -> Record:
    """The record without what means something only where it was made: paths, and keys of its store."""
    config = settings_that_matter(record["config"])
    identity = record["classifier"]
    config["classifier"] = {**config["classifier"], "checkpoint": identity.get("checkpoint")}
    if "start" in config.get("training", {}):
        config["training"] = {**config["training"], "start": identity.get("training", {}).get("start")}
    told = [text for text in record["overrides"] if text.startswith("scale.")]  # config says the rest
    kept = {name: value for name, value in record.items() if name not in ("artifacts", "counts")}
    return {**kept, "config": config, "overrides": told}


def kept_audits(folder: Path) -> dict[str, AuditPage]:
    """The audits that an earlier report left in `folder`, by name."""
    path = folder / AUDITS
    if not path.exists():
        return {}
    found = {}
    for head in csv.DictReader(io.StringIO(path.read_text())):
        name, rows = head.pop("name"), int(head.pop("rows"))
        found[name] = AuditPage(head, (folder / "audits" / f"{name}.md").read_text(), rows)
    return found


def audits_text(audits: Mapping[str, AuditPage]) -> str:
    """`audits.csv`: a line an audit, accuracies in percent."""
    text = io.StringIO()
    lines = [{"name": name, "rows": audit.rows, **audit.head} for name, audit in audits.items()]
    writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
