"""Hashes of plain data: keys of artifacts, seeds of generators."""

import hashlib
import json
from typing import Any


def key_of(*parts: Any) -> str:
    """Hash of plain data (dicts, lists, strings, numbers): 24 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def seed_of(*parts: Any) -> int:
    """A 31-bit seed derived from plain data, such as (seed, attack, ids)."""
    return int(key_of(*parts)[:8], 16) >> 1
