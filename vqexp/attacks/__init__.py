"""Attacks: the algorithms that perturb images against an adversary's view."""

import importlib
from typing import Any

from vqexp.attacks.autoattack import AutoAttack
from vqexp.attacks.base import Adversarial, Attack
from vqexp.attacks.momentum import MomentumPGD
from vqexp.attacks.noise import RandomNoise
from vqexp.attacks.packaged import PackagedAutoAttack
from vqexp.attacks.pgd import FGSM, PGD, NoAttack
from vqexp.attacks.square import Square
from vqexp.attacks.targeted import TargetedPGD

# by other libraries, slow to import: loaded when asked for
FROM_LIBRARIES = {
    "Boundary": "vqexp.attacks.boundary",
    "CarliniWagner": "vqexp.attacks.library",
    "DeepFool": "vqexp.attacks.library",
    "Foolbox": "vqexp.attacks.foolbox",
    "MIFGSM": "vqexp.attacks.library",
    "TorchAttacks": "vqexp.attacks.torchattacks",
}

__all__ = [
    "FGSM",
    "PGD",
    "Adversarial",
    "Attack",
    "AutoAttack",
    "MomentumPGD",
    "NoAttack",
    "PackagedAutoAttack",
    "RandomNoise",
    "Square",
    "TargetedPGD",
]


def __getattr__(name: str) -> Any:
    if name in FROM_LIBRARIES:
        return getattr(importlib.import_module(FROM_LIBRARIES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
