"""The files of `conf/` as plain data, read without Hydra, which takes half a second for a config."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vqexp.core.config import CONF


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads what OmegaConf's loader does, twenty times as fast: YAML 1.1, in which 1e-3 is a number too."""


EXPONENT = re.compile(r"[-+]?[\d.]+e[-+]?\d+$", re.IGNORECASE)
Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, [*"-+.0123456789"])


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a file, on top of those that it builds on; interpolations stay as they are."""
    found: dict[str, Any] = {}
    for settings, _ in _files(path):
        found = merged(found, settings)
    return deepcopy(found)


def chosen_by(path: Path) -> dict[str, str]:
    """group -> choice: what a file chooses of other groups, as a dataset does its preset."""
    entries = [entry for _, defaults in _files(path) for entry in defaults if isinstance(entry, dict)]
    return {_place(name): choice for entry in entries for name, choice in entry.items()}


def _place(name: str) -> str:
    """Where a choice of a defaults list stands in the config: in its group, unless it says another place."""
    group, _, package = name.removeprefix("override /").partition("@")
    return package.removeprefix("_global_.") or group


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """The settings of both; where both have one, that of `above`."""
    both = {
        name: merged(below[name], value)
        for name, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(name), dict)
    }
    return {**below, **above, **both}


def _files(path: Path) -> list[tuple[dict[str, Any], list[Any]]]:
    """(settings, defaults list) of the file and of those that it builds on, the lowest first."""
    settings, defaults = _file(path, path.stat().st_mtime_ns)
    bases = [entry for entry in defaults if isinstance(entry, str) and entry != "_self_"]
    found = []
    for base in bases:
        name = base.partition("@")[0]  # of the file's group, or with a slash of conf/
        place = CONF / name[1:] if name.startswith("/") else CONF / path.relative_to(CONF).parts[0] / name
        found += _files(place.with_suffix(".yaml"))
    return [*found, (settings, defaults)]


@cache
def _file(path: Path, mtime_ns: int) -> tuple[dict[str, Any], list[Any]]:
    raw = yaml.load(path.read_text(), Loader) or {}
    assert isinstance(raw, dict)
    settings = {str(name): value for name, value in raw.items()}
    return settings, settings.pop("defaults", [])
