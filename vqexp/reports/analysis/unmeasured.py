"""Why a claim is not measured, in one line: what its cells lack, and the commands that measure them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from vqexp.core.config import CONF
from vqexp.reports.analysis.points import Point, select
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.claims import Claim
from vqexp.reports.spec.compose import composed
from vqexp.reports.spec.parts import sweep_command
from vqexp.reports.spec.settings import to_overrides
from vqexp.reports.spec.table import Table

BRING = "whose images have to be brought, see docs/data.md"
F = {"classifier": ("_target_", "name", "weights", "checkpoint"), "training": ("epochs",)}


def lacking(
    claim: Claim,
    own: str,
    tables: Mapping[str, Table],
    known: Collection[tuple[str, str, str]],
    datasets: Collection[str],
) -> str:
    """Returns what the cells that the claim compares lack; an empty text if all of them are measured.

    own: the claim's table. known: the cells that are measured, by table, row and column. datasets: those of
    which anything is measured.
    """
    every = cells_of(claim, own, tables)
    missing = [cell for cell in every if (cell.table, cell.row, cell.column) not in known]
    if not missing:
        return ""
    measured = len(every) - len(missing)
    parts = [f"cells measured: {measured} of {len(every)}"]
    if absent := sorted({cell.dataset for cell in missing} - set(datasets)):
        parts.append(f"needs {' and '.join(absent)}, {BRING}")
    parts.append(f"f: {', or '.join(sorted({_f(cell) for cell in missing}))}")
    return "; ".join([*parts, " and ".join(f"`{text}`" for text in commands(missing, tables))])


def cells_of(claim: Claim, own: str, tables: Mapping[str, Table]) -> list[Cell]:
    """Returns the cells whose values the claim compares, each once."""
    sides = [dict(claim.of)] + ([{**claim.of, **claim.than}] if claim.than is not None else [])
    found = {
        (cell.table, cell.row, cell.column): cell for side in sides for cell in _selected(side, own, tables)
    }
    return list(found.values())


def _selected(where: Mapping[str, Any], own: str, tables: Mapping[str, Table]) -> Iterable[Cell]:
    left = dict(where)
    table = tables.get(left.pop("table", own))
    if table is None:
        return []
    columns = left.pop("column", None)
    if columns is not None:  # a difference takes both columns
        every = columns if isinstance(columns, list) else [columns]
        left["column"] = [name for each in every for name in str(each).split(" - ")]
    places = {(cell.series, cell.panel, cell.x, cell.column): cell for cell in table.cells()}
    found = select([Point(*place, 0, 0, 0) for place in places], left)
    return [places[point.series, point.panel, point.x, point.column] for point in found]


def _f(cell: Cell) -> str:
    """What f of the cell is: its weights, or how long it is trained."""
    scale, told = "paper", tuple(to_overrides(cell.settings))
    f = composed(told, "classifier", scale, lambda group, name: name in F.get(group, ()))
    name = f.get("name") or str(f["_target_"]).rsplit(".", 1)[-1]
    if f.get("checkpoint") not in (None, "auto"):
        return f"{name} of {str(f['checkpoint']).rsplit('/', 1)[-1]}"
    if f.get("weights"):
        return f"{name} with its released weights"
    recipe = composed(told, "training", scale, lambda group, name: name in F.get(group, ()))
    return f"{name} from a checkpoint or trained for {recipe['epochs']} epochs"


def commands(cells: Sequence[Cell], tables: Mapping[str, Table]) -> list[str]:
    """Returns for each table of the cells the command that measures them."""
    found = []
    for name in dict.fromkeys(cell.table for cell in cells):
        kind = "figure" if (CONF / "figure" / f"{name}.yaml").exists() else "table"
        found.append(sweep_command(kind, tables[name], [cell for cell in cells if cell.table == name]))
    return found
