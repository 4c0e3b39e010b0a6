"""Finds the rows of an audit that make no sense for a defense, by the checks of attacker and attack."""

import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from torch import nn

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.audits.members import Audit
from vqexp.core.components import build
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import Defense, adapted
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.compose import composed
from vqexp.reports.spec.settings import group_of, to_overrides


def senseless(
    audit: Audit, defense: Mapping[str, Any], num_classes: int, known: Collection[str] = ()
) -> dict[str, str]:
    """Returns, by label, why a row makes no sense: none of its adversaries fits the defense.

    defense: its settings; if it cannot be built here, because its package is missing, no row is refused.
    known: labels of rows that need no look.
    """
    try:
        built = adapted(build("defense", defense, (nn.Module,)))
    except ConfigError:
        return {}
    settings = json.dumps(dict(defense), sort_keys=True)
    reasons = {
        choices[0].row: [_reason(cell, built, settings, num_classes) for cell in choices]
        for choices in audit.choices()
        if choices[0].row not in known
    }
    return {label: each[-1] for label, each in reasons.items() if all(each)}


def _reason(cell: Cell, defense: Defense, settings: str, num_classes: int) -> str:
    """Returns why the cell makes no sense for the defense; an empty text if it does."""
    told = {
        name: value
        for name, value in cell.settings.items()
        if name == "attack" or group_of(name) == "adversary"
    }
    adversary, attack = _attacker(tuple(told.items()), settings)
    try:
        adversary.check(defense)
        attack.check(adversary, defense, num_classes)
    except SenselessError as error:
        return str(error)
    return ""


@cache
def _attacker(settings: tuple[tuple[str, Any], ...], defense: str) -> tuple[Adversary, Attack]:
    """Builds the adversary and the attack that the settings choose. defense: its settings, as JSON."""
    of_defense = {f"defense.{name}": value for name, value in json.loads(defense).items()}
    cell = tuple(to_overrides({"defense": "own", **of_defense, **dict(settings)}))
    adversary, attack = (composed(cell, group, "cpu", _all) for group in ("adversary", "attack"))
    return build("adversary", adversary), build("attack", attack)


def _all(group: str, name: str) -> bool:
    """Every setting matters."""
    return True
