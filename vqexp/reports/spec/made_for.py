"""Looking up the cell that a run is made for, by its label.

A sweep passes only `cell='TABLE/ROW/COLUMN'` to a run, a plain text that every launcher can pass on, and the
run looks up the value that is reported there. So a record is complete once it is written, even if the sweep
is killed afterwards or its runs are on other machines.
"""

from typing import Any

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.pipeline.record import MadeFor
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.figure import read_figure
from vqexp.reports.spec.table import AUDIT, Table, read_table


def made_for(label: Any) -> MadeFor | None:
    """Returns what a record says about the cell with this label; None without a label.

    Nothing is reported for a row that exists only on the command line. Raises `ConfigError` if there is no
    such table or figure.
    """
    if label is None:
        return None
    name, _, rest = str(label).partition("/")
    row, _, column = rest.rpartition("/")
    found = [path for kind in ("table", "figure") if (path := CONF / kind / f"{name}.yaml").exists()]
    if not (found and row):
        raise ConfigError(f"cell is {label!r}; it must be TABLE/ROW/COLUMN, of a table or figure in conf/")
    table: Table | None = None
    if name != AUDIT:
        table = read_table(found[0]) if found[0].parent.name == "table" else read_figure(found[0]).table
    for cell in table.cells() if table else ():
        if cell.label == label:
            return cell.made_for
    settings = read_settings(found[0])
    metric = (settings.get("columns") or {}).get(column, {}).get("metric")
    return MadeFor(
        table=name, row=row, column=column, metric=metric, mean=None, std=None, source=settings["source"]
    )
