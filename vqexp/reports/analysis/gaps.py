"""What lies between a reported value and the measured one, step by step: `conf/gaps.yaml` names the cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from vqexp.core.config import CONF
from vqexp.core.estimate import Estimate
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.table import Table

OF = "vq_classifiers"  # the table whose cells the steps are
Values = Mapping[tuple[str, str, str], Estimate]  # by table, row and column: what was measured


@dataclass(frozen=True)
class Step:
    """One change. values: in percent by defense, None where nothing was measured.

    cells: what measures it, one a defense.
    """

    label: str
    values: Mapping[str, float | None]
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Waterfall:
    """One column of a table. reported: in percent, by defense. steps: from the measured value upwards.

    draws: two standard deviations over the runs of the measured values.
    """

    name: str
    title: str
    table: Table
    reported: Mapping[str, float]
    steps: Sequence[Step]
    draws: Mapping[str, float | None]

    def gap(self, defense: str) -> float | None:
        """Returns the measured value less the reported one; None where nothing was measured."""
        value = self.steps[0].values[defense]
        return None if value is None else value - self.reported[defense]

    def changes(self, defense: str) -> list[tuple[str, float | None]]:
        """Returns (label, change) from the report down: first what is unexplained, then the steps.

        A change is None where a step was not measured; it is then part of the next one above. Nothing is
        explained or unexplained of a value that was not measured itself.
        """
        below = self.steps[0].values[defense]
        found: list[tuple[str, float | None]] = []
        for step in self.steps[1:]:
            value = step.values[defense]
            found.append((step.label, None if value is None or below is None else below - value))
            if below is not None and value is not None:
                below = value
        left = None if below is None else below - self.reported[defense]
        return [("unexplained", left), *reversed(found)]

    def average(self) -> list[tuple[str, float | None]]:
        """Returns (label, mean change over the defenses), None unless all were measured."""
        every = [self.changes(defense) for defense in self.reported]
        return [
            (
                line[0][0],
                None if any(c is None for _, c in line) else mean(c for _, c in line if c is not None),
            )
            for line in zip(*every, strict=True)
        ]


def spec() -> dict[str, Any]:
    """Returns `conf/gaps.yaml`."""
    return read_settings(CONF / "gaps.yaml")


def waterfalls(tables: Mapping[str, Table], values: Values) -> list[Waterfall]:
    """Returns one for each table and column that the config names. tables: by name."""
    return [
        _waterfall(entry, column, title, tables, values)
        for entry in spec()["waterfalls"]
        for column, title in entry["columns"].items()
    ]


def _waterfall(
    entry: Mapping[str, Any], column: str, title: str, tables: Mapping[str, Table], values: Values
) -> Waterfall:
    table = tables[entry["table"]]
    rows: Mapping[str, str] = entry["rows"]
    cells = {cell.place: cell for name in (table.name, OF) for cell in tables[name].cells()}
    own = {defense: values.get((table.name, row, column)) for defense, row in rows.items()}
    steps: list[Step] = []
    for step in (step for step in entry["steps"] if column in step["cells"]):
        places = {
            defense: (step["row"].replace(", X", f", {defense}"), step["cells"][column]) for defense in rows
        }
        found = {defense: values.get((OF, *place)) for defense, place in places.items()}
        if not steps:  # the table's own value is the bottom; it may be on other images
            found = {defense: own[defense] or found[defense] for defense in rows}
        percents = {defense: percent(each) for defense, each in found.items()}
        steps.append(Step(step["label"], percents, [cells[place] for place in places.values()]))
    return Waterfall(
        name=f"{table.name}_{column}",
        title=f"{entry['title']}, {title}",
        table=tables[OF],
        reported={defense: cells[row, column].reported[0] for defense, row in rows.items()},  # type: ignore[index]
        steps=steps,
        draws={defense: 200 * each.std if each and each.known else None for defense, each in own.items()},
    )


def percent(estimate: Estimate | None) -> float | None:
    """Returns its mean, a fraction in percent; None where nothing was measured."""
    return None if estimate is None or not estimate.known else estimate.scale * estimate.mean
