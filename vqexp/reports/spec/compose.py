"""Composing one group of a cell's config from the files that it needs; Hydra takes half a second for all."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from vqexp.core.config import CONF, numbers, register_resolvers
from vqexp.reports.spec.choices import chosen_by, read_settings

REFERENCE = re.compile(r"[{,:]([a-z_]+)[.}]")  # the group that an interpolation names
MISSING = "???"  # what OmegaConf refuses to give
PATH = re.compile(r"[{,:]([a-z_]\w*(?:\.\w+)*)")  # the setting that an interpolation names
_values: dict[tuple[str, str, str], Any] = {}


def composed(
    cell: tuple[str, ...], group: str, scale: str, matters: Callable[[str, str], bool]
) -> dict[str, Any]:
    """Returns the resolved settings of one group of a cell, those that matter.

    cell: its overrides. matters: group, name -> whether the setting does.
    """
    choices, changes = _told(cell, scale)
    needed, waiting = {}, [group]
    while waiting:
        name = waiting.pop()
        if name in choices and name not in needed:
            needed[name] = choices[name]
            waiting += _groups_in(name, choices[name])
            for text in changes:
                if _parsed(text).key_or_group.startswith(f"{name}."):
                    waiting += REFERENCE.findall(text)
    own = tuple(text for text in changes if _parsed(text).key_or_group.split(".")[0] in needed)
    return _resolved(group, tuple(sorted(needed.items())), own, matters)


@cache
def _told(cell: tuple[str, ...], scale: str) -> tuple[dict[str, str], list[str]]:
    """Returns what is chosen of each group, by the cell or else by default, and the values that it sets."""
    told, changes = {"scale": scale}, []
    for text in cell:
        override = _parsed(text)
        if override.package is not None:  # of a surrogate
            continue
        if _is_group(override.key_or_group):  # it chooses a config file, as `defense=prd` does
            told[override.key_or_group] = str(override.value())
        else:
            changes.append(text)
    choices = {**_default_choices(), **told}
    for name in ("dataset", "preset"):  # which choose for others, unless the cell does
        choices |= {**_chosen(name, choices[name]), **told}
    return choices, changes


@cache
def _groups_in(group: str, choice: str) -> list[str]:
    """Returns the groups that a choice's interpolations name."""
    return REFERENCE.findall(str(_node(group, choice)))


@cache
def _resolved(
    group: str,
    choices: tuple[tuple[str, str], ...],
    changes: tuple[str, ...],
    matters: Callable[[str, str], bool],
) -> dict[str, Any]:
    config: dict[str, Any] = {name: deepcopy(_node(name, choice)) for name, choice in choices}
    config["seed"] = 0
    for change in changes:
        *path, last = _parsed(change).key_or_group.split(".")
        node = config
        for name in path:
            node = node.setdefault(name, {})
        node[last] = _parsed(change).value()
    return {str(name): _value(config, group, name) for name in config[group] if matters(group, name)}


def _value(config: dict[str, Any], group: str, name: str) -> Any:
    """Returns the setting with its interpolations resolved, once for all cells that share what they name."""
    value = config[group][name]
    if not any(mark in str(value) for mark in ("${", MISSING)):
        return numbers(value, name)
    needed = numbers(_referenced(config, group, name))
    key = group, name, repr(needed)
    if key not in _values:
        found = OmegaConf.create(needed)[group][name]
        plain = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
        _values[key] = plain
    return _values[key]


def _referenced(config: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    """A setting of a group, and those that its interpolations name; all would take long."""
    found: dict[str, Any] = {group: {}}
    waiting: list[tuple[str, ...]] = [(group, name)]
    seen: set[tuple[str, ...]] = set()
    while waiting:
        path = waiting.pop()
        value: Any = config
        there = []
        for name in path:
            if not isinstance(value, dict) or name not in value:
                break
            value = value[name]
            there.append(name)
        if not there or any(tuple(there[:n]) in seen for n in range(1, len(there) + 1)):
            continue
        seen.add(tuple(there))
        node = found
        for name in there[:-1]:
            node = node.setdefault(name, {})
        node[there[-1]] = value
        waiting += [tuple(names.split(".")) for names in PATH.findall(str(value))]
    return found


@cache
def _default_choices() -> dict[str, str]:
    """What `conf/config.yaml` chooses of each group."""
    register_resolvers()
    chosen = chosen_by(CONF / "config.yaml")
    return {name: choice for name, choice in chosen.items() if _path(name, choice).exists()}


@cache
def _chosen(group: str, choice: str) -> dict[str, str]:
    """What a choice chooses of other groups; nothing where it has no file."""
    path = _path(group, choice)
    return chosen_by(path) if path.exists() else {}


@cache
def _node(group: str, choice: str) -> dict[str, Any]:
    """The settings of a choice, interpolations unresolved."""
    return read_settings(_path(group, choice))


def _path(group: str, choice: str) -> Path:
    return CONF / group / f"{choice}.yaml"


@cache
def _is_group(name: str) -> bool:
    return (CONF / name).is_dir()


@cache
def _parsed(text: str) -> Override:
    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except HydraException:  # an interpolation within another has to be quoted
        name, _, value = text.partition("=")
        return parser.parse_override(f"{name}='{value}'")
