"""`results/`: every table and figure, reported beside measured, from records: a store's and its own."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vqexp.audits.members import load_audit
from vqexp.audits.result import all_audits
from vqexp.audits.standing import headline
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.core.store import Store, write_atomically
from vqexp.core.text import scale_of
from vqexp.reports.analysis.gather import Record, classifier_name
from vqexp.reports.render import html, latex, markdown
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
    """Write `README.md`, `index.html`, and a CSV and a LaTeX file a table into `folder`; returns the files.

    What an earlier report left in `folder` counts beside the store (`render.kept`). Smoke runs are
    refused as measurements. Raises `ConfigError` if there are no others.
    """
    folder = Path(folder)
    records = measurements(store, folder)
    if not records:
        raise ConfigError(f"{store} has no records of tables; `make reproduce-tables` makes them")
    material = gather(records, Path(store), folder)
    texts: dict[str, str] = {}
    entries = [*material.tables, *(e for drawn in material.figures for e in drawn.entries)]
    for entry in entries:
        frame = table_frame(entry)
        if len(frame):
            texts[f"{entry.table.name}.csv"] = frame.to_csv(index=False)
    for entry in material.tables:
        texts[f"tables/{entry.table.name}.tex"] = latex.page(entry)
    kept = records_file(section for entry in entries for section in entry.sections)
    pictures = sorted(folder.glob("pictures/*.png"))
    audits, drawn = _audits(records, Store(store), folder)
    if audits:
        texts[AUDITS] = audits_text(audits)
    texts |= {f"audits/{name}.md": audit.text for name, audit in audits.items()}
    texts["README.md"] = markdown.page(material, pictures, audits)
    texts["index.html"] = html.page(material, audits, folder / "audits")
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, text.encode())
    write_atomically(folder / RECORDS, kept)
    drawn += [path for figure in material.figures for path in figure.files]
    return drawn + [folder / name for name in (*texts, RECORDS)]


def _audits(records: Sequence[Record], store: Store, folder: Path) -> tuple[dict[str, AuditPage], list[Path]]:
    """All audits by name, and the curves drawn; a kept one stays until as many rows were run anew."""
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
    """One line a metric of a measured cell, with provenance; shares are fractions in [0, 1].

    `own` is true of the metric that the column is about; the run measured the others beside it.
    """
    rows = []
    cells = {(cell.row, cell.column): cell for cell in entry.table.cells()}
    for section in entry.sections:
        for (row, column), record in sorted(section.records.items()):
            cell, provenance = cells[row, column], record["provenance"]
            for name, estimate in record["metrics"].items():
                own = name == cell.metric
                reported = cell.reported[0] / scale_of(estimate) if own and cell.reported else None
                rows.append(
                    {
                        "classifier": classifier_name(record),
                        "row": row,
                        "column": column,
                        "metric": name,
                        "own": own,
                        "reported": reported,
                        "mean": estimate["mean"],
                        "std": estimate["std"],
                        "ci95_low": estimate["ci95"][0],
                        "ci95_high": estimate["ci95"][1],
                        "runs": estimate["runs"],
                        "n": estimate["n"],
                        "key": record["key"],
                        "commit": provenance["commit"],
                        "dirty": provenance["dirty"],
                        "device": provenance["device"],
                        "torch": provenance["libraries"]["torch"],
                        "seconds": round(sum(provenance["seconds"].values()), 1),
                        "date": provenance["date"],
                    }
                )
    return pd.DataFrame(rows)
