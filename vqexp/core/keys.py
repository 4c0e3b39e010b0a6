"""Hashes of plain data: keys of artifacts, seeds of generators."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

LOST = "settings of these names"  # no setting has blanks in its name


def key_of(*parts: Any) -> str:
    """Hash of plain data (dicts, lists, strings, numbers): 24 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def joined(settings: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings and what was found beside them in one, for a key.

    A setting that has the name of something found is told once more: else it would be lost, and two values
    of it would have one key.
    """
    lost = settings.get(LOST, {}) | {name: settings[name] for name in found if name in settings}
    return {**settings, **found, **({LOST: lost} if lost else {})}


def seed_of(*parts: Any) -> int:
    """A 31-bit seed derived from plain data, such as (seed, attack, ids)."""
    return int(key_of(*parts)[:8], 16) >> 1
