"""Attacks: the algorithms that perturb images against an adversary's view."""

from vqexp.attacks.autoattack import AutoAttack
from vqexp.attacks.base import Adversarial, Attack
from vqexp.attacks.boundary import Boundary
from vqexp.attacks.library import MIFGSM, CarliniWagner, DeepFool
from vqexp.attacks.noise import RandomNoise
from vqexp.attacks.pgd import FGSM, PGD, NoAttack
from vqexp.attacks.square import Square

__all__ = [
    "FGSM",
    "MIFGSM",
    "PGD",
    "Adversarial",
    "Attack",
    "AutoAttack",
    "Boundary",
    "CarliniWagner",
    "DeepFool",
    "NoAttack",
    "RandomNoise",
    "Square",
]
