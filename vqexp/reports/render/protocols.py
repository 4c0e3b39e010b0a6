"""What is left of random defenses: as reported, by the paper's own protocol, and in the worst case."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from vqexp.core.config import CONF
from vqexp.core.estimate import Estimate
from vqexp.reports.analysis.texts import share_from
from vqexp.reports.render.kept import AuditPage
from vqexp.reports.render.material import Entry
from vqexp.reports.render.row import markdown_row
from vqexp.reports.spec.choices import read_settings

Where = Sequence[str]  # table, row


@cache
def spec() -> Mapping[str, Any]:
    """Returns `conf/protocols.yaml`."""
    return read_settings(CONF / "protocols.yaml")


def protocols(tables: Sequence[Entry], audits: Mapping[str, AuditPage]) -> str:
    """Returns the section in Markdown; an empty text if no defense of it was measured. audits: by name."""
    entries = {entry.table.name: entry for entry in tables}
    columns: Mapping[str, str] = spec()["columns"]
    lines = []
    for group in spec()["groups"]:
        told = [_line(entries, audits, group, each) for each in group["rows"]]
        rows = [cells for cells in told if any(cells[2:])]
        if rows:
            undefended = [_text(_measured(entries, group["undefended"], name)) for name in columns.values()]
            paper = _reported(entries, group.get("paper"))
            least = _text(_measured(entries, group["undefended"], spec()["worst"]))
            lines += [[f"**{group['label']}**, undefended", _text(paper), *undefended, least], *rows]
    if not lines:
        return ""
    heads = ["defense", "reported", *columns, "worst case"]
    body = [heads, ["---"] * len(heads), *lines]
    table = "\n".join(map(markdown_row, body))
    return f"## {spec()['title']} ({spec()['source']})\n\n{spec()['text'].strip()}\n\n{table}\n"


def _line(
    entries: Mapping[str, Entry],
    audits: Mapping[str, AuditPage],
    group: Mapping[str, Any],
    each: Mapping[str, Any],
) -> list[str]:
    base = group["undefended"]
    found = [
        _text(_measured(entries, each["cells"], name), _measured(entries, base, spec()["baselines"][name]))
        for name in spec()["columns"].values()
    ]
    reported = _text(_reported(entries, each.get("paper")), _reported(entries, group.get("paper")))
    heads = [page.head for name, page in audits.items() if each.get("audit") == name.rsplit("-", 1)[0]]
    worst = share_from(heads[0]["worst"]) if heads and heads[0]["worst"] else None
    least = _measured(entries, base, spec()["worst"])
    text = _text(None if worst is None else 100 * worst, least)
    if text:
        text += f" {heads[0]['interval']}, n {heads[0]['n']}"
    return [each["label"], reported, *found, text]


def _measured(entries: Mapping[str, Entry], where: Where, column: str) -> float | None:
    """Returns the cell's value in percent; None if it is not measured."""
    entry, row = entries[where[0]], where[1]
    record = entry.sections[0].records.get((row, column)) if entry.sections else None
    metric = entry.table.columns[column]["metric"]
    estimate: Estimate | None = record.metrics.get(metric) if record else None
    return None if estimate is None or not estimate.known else estimate.scale * estimate.mean


def _reported(entries: Mapping[str, Entry], where: Where | None) -> float | None:
    if where is None:
        return None
    rows = {row["label"]: row for row in entries[where[0]].table.rows}
    return float(rows[where[1]]["reported"][spec()["reported"]][0])


def _text(value: float | None, less: float | None = None) -> str:
    """Returns `48.7 (+13.2)`, or as much of it as is known."""
    if value is None:
        return ""
    return f"{value:.1f}" if less is None else f"{value:.1f} ({value - less:+.1f})"
