"""Attacks: the algorithms that perturb images against an adversary's view."""

from vqexp.attacks.autoattack import AutoAttack
from vqexp.attacks.base import Adversarial, Attack
from vqexp.attacks.pgd import FGSM, PGD, NoAttack
from vqexp.attacks.square import Square

__all__ = ["FGSM", "PGD", "Adversarial", "Attack", "AutoAttack", "NoAttack", "Square"]
