"""Reads the numbers in an audit's headline back from their text (`vqexp.audits.standing.headline`)."""

import ast
import re
from typing import Any

NEXT = re.compile(r", (?=\w+=)")  # between two settings


def share_from(text: str) -> float | None:
    """`61.20 (0.31)` -> 0.612; None for no text."""
    return float(text.split()[0]) / 100 if text else None


def interval_from(text: str) -> tuple[float, float]:
    """`[58.1, 64.2]` -> (0.581, 0.642)."""
    low, high = text.strip("[]").split(",")
    return float(low) / 100, float(high) / 100


def size_from(text: str) -> float:
    """`8/255` or `0.3`, an eps in [0, 1] pixels."""
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


def settings_from(text: str) -> dict[str, Any]:
    """`s=3, shape=[3, 32, 32], init=random` -> their values: numbers, lists, None, or texts."""
    pairs = [pair.split("=", 1) for pair in NEXT.split(text)] if text else []
    return {name: _value(value) for name, value in pairs}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
