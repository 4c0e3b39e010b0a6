"""What is left of random defenses: as reported, by the paper's own protocol, and in the worst case."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from vqexp.core.config import CONF
from vqexp.pipeline.outcomes import read_outcomes
from vqexp.reports.analysis.points import Point
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
        _gain(cells.point([*each["cells"], name]), cells.point([*base, spec()["baselines"][name]]))
        for name in spec()["columns"].values()
    ]
    reported = _text(_reported(cells, each.get("paper")), _reported(cells, group.get("paper")))
    pages = [page for name, page in audits.items() if each.get("audit") == name.rsplit("-", 1)[0]]
    worst = _worst(pages[0].head) if pages else None
    text = _gain(worst, cells.point([*base, spec()["worst"]]))
    if worst:
        text += f", n {worst.n}"
    return [each["label"], reported, *found, text]


def _worst(head: Mapping[str, str]) -> Point | None:
    """Returns an audit's worst case; None if it has none."""
    share = share_from(head["worst"]) if head["worst"] else None
    if share is None:
        return None
    low, high = (float(end) for end in head["interval"].strip("[]").split(","))
    outcomes = read_outcomes(head["outcomes"]) if head.get("outcomes") else None
    return Point("", "", None, "", 100 * share, low, high, int(head["n"]), outcomes)


def _gain(ours: Point | None, base: Point | None) -> str:
    """Returns `48.7 (+13.2 [10.1, 16.3])`: the value, and by how much it is above the other.

    The gain is that on the images of both where it is known how each fared, else the difference of the two.
    """
    if ours is None or base is None:
        return _text(None if ours is None else ours.value)
    low, high = ours.minus(base)
    apart = ours.outcomes.less(base.outcomes) if ours.outcomes and base.outcomes else None
    gain = ours.value - base.value if apart is None else 100 * float(apart.shares.mean())
    return f"{ours.value:.1f} ({gain:+.1f} [{low:.1f}, {high:.1f}])"


def _measured(cells: Lookup, where: Where, column: str) -> float | None:
    """Returns the cell's value in percent; None if it is not measured."""
    point = cells.point([*where, column])
    return None if point is None else point.value


def _reported(cells: Lookup, where: Where | None) -> float | None:
    return None if where is None else cells.reported([*where, spec()["reported"]])


def _text(value: float | None, less: float | None = None) -> str:
    """Returns `48.7 (+13.2)`, or as much of it as is known."""
    if value is None:
        return ""
    return f"{value:.1f}" if less is None else f"{value:.1f} ({value - less:+.1f})"
