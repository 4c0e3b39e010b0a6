"""Writing `results/`: every table and figure, reported beside measured."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from vqexp.audits.members import load_audit
from vqexp.audits.result import all_audits
from vqexp.audits.standing import headline
from vqexp.core.atomic import write_atomically
from vqexp.core.config import CONF, finite
from vqexp.core.errors import ConfigError
from vqexp.core.places import place
from vqexp.core.store import Store
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.classifier import classifier_name
from vqexp.reports.render import calibration, html, latex, markdown
from vqexp.reports.render.audit_curves import draw_curves
from vqexp.reports.render.audit_page import audit_page, command_of
from vqexp.reports.render.kept import (
    AUDITS,
    RECORDS,
    AuditPage,
    audits_text,
    kept_audits,
    measurements,
    records_file,
)
from vqexp.reports.render.material import Entry, gather
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.table import AUDIT


def write(store: str | Path, folder: str | Path) -> list[Path]:
    """Writes `README.md`, `index.html`, and for each table a CSV and a LaTeX file; returns the files.

    The records are the store's and those that an earlier report left in `folder` (`render.kept`), but no
    smoke runs. Raises `ConfigError` if there are none.
    """
    folder = Path(folder)
    records = measurements(store, folder)
    if not records:
        raise ConfigError(f"{store} has no records of tables; `make reproduce-tables` makes them")
    material = gather(records, place(store), folder)
    texts: dict[str, str] = {}
    entries = [*material.tables, *(e for drawn in material.figures for e in drawn.entries)]
    for entry in entries:
        frame = table_frame(entry)
        if len(frame):
            texts[f"{entry.table.name}.csv"] = frame.to_csv(index=False)
    for entry in material.tables:
        texts[f"tables/{entry.table.name}.tex"] = latex.page(entry)
    kept = records_file((entry.table, section) for entry in entries for section in entry.sections)
    pictures = sorted(folder.glob("pictures/*.png"))
    audits, drawn = _audits(records, Store(store), folder)
    if audits:
        texts[AUDITS] = audits_text(audits)
    texts |= {f"audits/{name}.md": audit.text for name, audit in audits.items()}
    if calibrated := calibration.kept(place(store), folder):
        texts[calibration.FILE] = calibration.to_json(calibrated)
    texts["README.md"] = markdown.page(material, pictures, audits, calibrated)
    texts["index.html"] = html.page(material, audits, folder / "audits", calibrated)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, text.encode())
    write_atomically(folder / RECORDS, kept)
    drawn += [path for figure in material.figures for path in figure.files]
    drawn += [path for png in material.pictures.values() for path in (png.with_suffix(".pdf"), png)]
    return drawn + [folder / name for name in (*texts, RECORDS)]


def _audits(records: Sequence[Record], store: Store, folder: Path) -> tuple[dict[str, AuditPage], list[Path]]:
    """Returns all audits by name, and the curves drawn. A kept audit stays if a new one has fewer rows."""
    audit = load_audit(read_settings(CONF / "table" / f"{AUDIT}.yaml"))
    audits, drawn = kept_audits(folder, audit), []
    for name, result in all_audits(audit, records, store).items():
        rows = len(result.findings)
        if name in audits and audits[name].rows > rows:
            continue
        curves = draw_curves(result, folder / "audits" / name)
        drawn += curves
        text = audit_page(result, command_of(audit, result), f"{name}.png" if curves else None)
        audits[name] = AuditPage(headline(result), text, rows)
    return dict(sorted(audits.items())), drawn


def table_frame(entry: Entry) -> pd.DataFrame:
    """Returns one line for each estimate of each measured cell, with provenance; fractions in [0, 1].

    `own` is true for the estimate that the column shows. Others of a record that fills several cells stand
    once. A mean over several trainings names the record of each in `key`, and every commit, device, version
    of torch and date, each value once; `seconds` is their sum. An estimate of one training names its own.
    """
    rows = []
    told: set[tuple[str, str]] = set()
    cells = {cell.place: cell for cell in entry.table.cells()}
    for section in entry.sections:
        for (row, column), record in sorted(section.records.items()):
            cell = cells[row, column]
            every = section.behind((row, column))
            for name, estimate in record.metrics.items():
                own = name == cell.metric
                if not own and (record.key, name) in told:
                    continue
                told.add((record.key, name))
                reported = cell.reported[0] / estimate.scale if own and cell.reported else None
                behind = every if estimate.trainings else every[:1]
                rows.append(
                    {
                        "classifier": classifier_name(*behind),
                        "row": row,
                        "column": column,
                        "metric": name,
                        "own": own,
                        "reported": reported,
                        "mean": finite(estimate.mean),
                        "std": finite(estimate.std),
                        "ci95_low": finite(estimate.ci95[0]),
                        "ci95_high": finite(estimate.ci95[1]),
                        "runs": estimate.runs,
                        "trainings": max(1, len(estimate.trainings)),
                        "n": estimate.n,
                        **_provenance(behind),
                    }
                )
    return pd.DataFrame(rows)


def _provenance(records: Sequence[Record]) -> dict[str, str | bool | float]:
    """Returns what a line says of where its numbers come from: `records`, one or one a training."""
    each = [record.provenance for record in records]

    def told(values: Iterable[str]) -> str:
        return "; ".join(dict.fromkeys(values))

    return {
        "key": " ".join(record.key for record in records),
        "commit": told(one.commit or "unknown" for one in each),
        "dirty": any(one.dirty for one in each),
        "device": told(one.device for one in each),
        "torch": told(one.libraries["torch"] for one in each),
        "seconds": round(sum(sum(one.seconds.values()) for one in each), 1),
        "date": told(one.date for one in each),
    }
