"""Reducing a cell to a smoke test: the same defense, adversary, attack and metric on digits."""

from collections.abc import Mapping
from typing import Any

from vqexp.reports.spec.cell import installs
from vqexp.reports.spec.settings import group_of

# Settings that are tied to the dataset or the network that the cell had, or to a budget.
REPLACED = (
    "attack.eps",
    "attack.steps",
    "attack.batch_size",
    "attack.step_size",
    "defense.s",
    "defense.k",
    "defense.lower",
    "defense.upper",
    "defense.position",
    "defense.where",
    "defense.std",
)
# Settings of a surrogate, whose classifier and training are not the cell's.
SURROGATE = ("adversary.classifier.", "adversary.training.")
# Settings of metrics that decide which numbers there are; their others are budgets.
KEPT = ("metric.certificates", "metric.radii")
STAND_INS = {"dataset": "digits", "classifier": "small_cnn"}
# What is trained briefly, beside an f of its own with a defense inside: one that is attacked at every batch.
ATTACKED = ("fast", "mart", "overfit", "pgd_at", "trades")
BRIEFLY = {"training.epochs": 2}


def smoke(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a cell's settings for digits, without those that do not fit digits or that cost time.

    The choice of defense, adversary, attack, training and metric stays, with their other settings; a
    surrogate is trained as f is.
    """
    kept = {name: value for name, value in settings.items() if not _replaced(name)}
    briefly = installs(settings.get("defense")) or settings.get("training") in ATTACKED
    return kept | STAND_INS | (BRIEFLY if briefly else {})


def _replaced(name: str) -> bool:
    if name.startswith("metric."):
        return name not in KEPT
    if "@adversary" in name or name.startswith(SURROGATE):
        return True
    return name in REPLACED or group_of(name) in ("dataset", "preset", "classifier")
