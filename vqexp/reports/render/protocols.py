"""What is left of random defenses: as reported, by the paper's own protocol, and in the worst case."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from vqexp.core.config import CONF
from vqexp.reports.analysis.texts import share_from
from vqexp.reports.render.kept import AuditPage
from vqexp.reports.render.lookup import Lookup
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
    cells = Lookup(tables)
    columns: Mapping[str, str] = spec()["columns"]
    lines = []
    for group in spec()["groups"]:
        told = [_line(cells, audits, group, each) for each in group["rows"]]
        rows = [line for line in told if any(line[2:])]
        if rows:
            undefended = [_text(_measured(cells, group["undefended"], name)) for name in columns.values()]
            paper = _reported(cells, group.get("paper"))
            least = _text(_measured(cells, group["undefended"], spec()["worst"]))
            lines += [[f"**{group['label']}**, undefended", _text(paper), *undefended, least], *rows]
    if not lines:
        return ""
    heads = ["defense", "reported", *columns, "worst case"]
    body = [heads, ["---"] * len(heads), *lines]
    table = "\n".join(map(markdown_row, body))
    return f"## {spec()['title']} ({spec()['source']})\n\n{spec()['text'].strip()}\n\n{table}\n"


def _line(
    cells: Lookup,
    audits: Mapping[str, AuditPage],
    group: Mapping[str, Any],
    each: Mapping[str, Any],
) -> list[str]:
    base = group["undefended"]
    found = [
        _text(_measured(cells, each["cells"], name), _measured(cells, base, spec()["baselines"][name]))
        for name in spec()["columns"].values()
    ]
    reported = _text(_reported(cells, each.get("paper")), _reported(cells, group.get("paper")))
    heads = [page.head for name, page in audits.items() if each.get("audit") == name.rsplit("-", 1)[0]]
    worst = share_from(heads[0]["worst"]) if heads and heads[0]["worst"] else None
    least = _measured(cells, base, spec()["worst"])
    text = _text(None if worst is None else 100 * worst, least)
    if text:
        text += f" {heads[0]['interval']}, n {heads[0]['n']}"
    return [each["label"], reported, *found, text]


def _measured(cells: Lookup, where: Where, column: str) -> float | None:
    """Returns the cell's value in percent; None if it is not measured."""
    estimate = cells.measured([*where, column])
    return None if estimate is None else estimate.scale * estimate.mean


def _reported(cells: Lookup, where: Where | None) -> float | None:
    return None if where is None else cells.reported([*where, spec()["reported"]])


def _text(value: float | None, less: float | None = None) -> str:
    """Returns `48.7 (+13.2)`, or as much of it as is known."""
    if value is None:
        return ""
    return f"{value:.1f}" if less is None else f"{value:.1f} ({value - less:+.1f})"
