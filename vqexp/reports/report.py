"""`results/`: every table and figure, reported beside measured, from a store's records."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vqexp import results
from vqexp.config import CONF
from vqexp.errors import ConfigError
from vqexp.reports import html, latex, markdown
from vqexp.reports.audit import load_audit
from vqexp.reports.audit_curves import draw_curves
from vqexp.reports.audit_page import AuditResult, all_audits, audit_page
from vqexp.reports.gather import Section, classifier_name
from vqexp.reports.material import gather
from vqexp.reports.summary import scale_of
from vqexp.reports.table import AUDIT, read_settings
from vqexp.store import Store, write_atomically


def write(store: str | Path, folder: str | Path) -> list[Path]:
    """Write `README.md`, `index.html`, and a CSV and a LaTeX file a table into `folder`; returns the files.

    Smoke runs are refused as measurements. Raises `ConfigError` if the store has no others.
    """
    folder = Path(folder)
    records = [record for record in results.records(store) if not record["smoke"] and record["reported"]]
    if not records:
        raise ConfigError(f"{store} has no records of tables; `make reproduce-tables` makes them")
    material = gather(records, Path(store), folder)
    texts: dict[str, str] = {}
    entries = [*material.tables, *(e for drawn in material.figures for e in drawn.entries)]
    for entry in entries:
        frame = table_frame(entry.sections)
        if len(frame):
            texts[f"{entry.table.name}.csv"] = frame.to_csv(index=False)
    for entry in material.tables:
        texts[f"tables/{entry.table.name}.tex"] = latex.page(entry)
    pictures = sorted(folder.glob("pictures/*.png"))
    audit = load_audit(read_settings(CONF / "table" / f"{AUDIT}.yaml"))
    audits: dict[str, tuple[AuditResult, str]] = {}
    drawn = []
    for name, (result, command) in all_audits(audit, records, Store(store)).items():
        curves = draw_curves(result, folder / "audits" / name)
        drawn += curves
        audits[name] = result, audit_page(result, command, f"{name}.png" if curves else None)
    texts |= {f"audits/{name}.md": text for name, (_, text) in audits.items()}
    texts["README.md"] = markdown.page(material, pictures, audits)
    texts["index.html"] = html.page(material, audits, folder / "audits")
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, text.encode())
    drawn += [path for figure in material.figures for path in figure.files]
    return drawn + [folder / name for name in texts]


def table_frame(sections: Sequence[Section]) -> pd.DataFrame:
    """One line a metric of a measured cell, with provenance; shares are fractions in [0, 1]."""
    rows = []
    for section in sections:
        for (row, column), record in sorted(section.records.items()):
            claim, provenance = record["reported"], record["provenance"]
            for name, estimate in record["metrics"].items():
                is_claim = name == claim["metric"] and claim["mean"] is not None
                rows.append(
                    {
                        "classifier": classifier_name(record),
                        "row": row,
                        "column": column,
                        "metric": name,
                        "reported": claim["mean"] / scale_of(estimate) if is_claim else None,
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
