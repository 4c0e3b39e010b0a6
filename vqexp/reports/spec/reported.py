"""What the papers report of a defense, found in the tables' configs: without attack, ignored, known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from vqexp.core.config import CONF, register_resolvers
from vqexp.core.text import defense_name
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.choices import chosen_by, read_settings
from vqexp.reports.spec.table import all_tables

ATTACKERS = ("none", "ignores", "knows")  # no attack; one who ignores the defense; one who knows it


@dataclass(frozen=True)
class Reported:
    """The least that a table reports of a defense against an attacker, in percent; settings: its s and k.

    own: they are those of the defense that was asked for.
    """

    value: float
    settings: Mapping[str, int]
    source: str
    own: bool


def reported(dataset: str, defense: str, settings: Mapping[str, Any], eps: float) -> dict[str, Reported]:
    """By attacker, for a defense (`pRD`) on a dataset at its own eps; nothing at another.

    Of rows with other settings than those asked for the first counts, and only where no row has them.
    """
    usual = dataset_settings(dataset)
    if not usual or abs(eps - usual["eps"]) > 1e-6:
        return {}
    found: dict[str, Reported] = {}
    for row in (row for row in _rows() if (row.dataset, row.defense) == (dataset, defense)):
        own = all(settings.get(name) == value for name, value in row.settings.items())
        before = found.get(row.attacker)
        same = before is not None and (before.settings, before.source) == (row.settings, row.source)
        if before is None or (own and not before.own) or (same and row.value < before.value):
            found[row.attacker] = Reported(row.value, row.settings, row.source, own)
    return found


def least_reported(dataset: str, defense: str, settings: Mapping[str, Any], eps: float) -> float | None:
    """The least share of images in [0, 1] that is reported to be right under attack with these settings."""
    found = reported(dataset, defense, settings, eps).items()
    return min((one.value / 100 for who, one in found if one.own and who != "none"), default=None)


@dataclass(frozen=True)
class _Row:
    dataset: str
    defense: str
    settings: Mapping[str, int]
    source: str
    attacker: str
    value: float


@cache
def _rows() -> tuple[_Row, ...]:
    """The reported cells of the tables that put a defense before the preset's f, at its eps."""
    found = [_row(table.source, cell) for table in all_tables() for cell in table.cells()]
    return tuple(row for row in found if row)


def _row(source: str, cell: Cell) -> _Row | None:
    told = cell.settings
    measured = cell.metric in ("natural_accuracy", "robust_accuracy")
    if (
        not cell.reported
        or not measured
        or "defense" not in told
        or {"attack.eps", "classifier", "classifier.statistics"} & set(told)
    ):
        return None
    names = [name for name in told if re.fullmatch(r"defense\.[sk]", name)]
    attacker = "ignores" if told.get("adversary") == "oblivious" else "knows"
    return _Row(
        told["dataset"],
        defense_name(read_settings(CONF / "defense" / f"{told['defense']}.yaml")),
        {name.removeprefix("defense."): int(told[name]) for name in names},
        source,
        "none" if cell.metric == "natural_accuracy" else attacker,
        cell.reported[0],
    )


@cache
def dataset_settings(name: str) -> dict[str, Any]:
    """`num_classes` of a dataset and `eps` of its usual preset; nothing of a dataset without a config."""
    register_resolvers()
    path = CONF / "dataset" / f"{name}.yaml"
    if not path.exists():
        return {}
    usual = chosen_by(path).get("preset", "base")
    preset = OmegaConf.create(read_settings(CONF / "preset" / f"{usual}.yaml"))
    return {"num_classes": read_settings(path)["num_classes"], "eps": preset.eps}
