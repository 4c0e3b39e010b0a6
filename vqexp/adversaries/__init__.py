"""Adversaries: what the attacker knows."""

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.estimators import StraightThrough
from vqexp.adversaries.oblivious import Oblivious
from vqexp.adversaries.query import Query
from vqexp.adversaries.soft import Soft
from vqexp.adversaries.transfer import Transfer
from vqexp.adversaries.view import RandomView, View
from vqexp.adversaries.white_box import WhiteBox

__all__ = [
    "Adversary",
    "Oblivious",
    "Query",
    "RandomView",
    "Soft",
    "StraightThrough",
    "Transfer",
    "View",
    "WhiteBox",
]
