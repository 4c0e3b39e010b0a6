"""Composing one group of a cell's config from the files that it needs; Hydra takes half a second for all."""

import re
from collections.abc import Callable, Sequence
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
PATH = re.compile(r"[{,:]([a-z_]\w*(?:\.\w+)*)")  # the setting that an interpolation names


def composed(
    cell: tuple[str, ...], group: str, scale: str, matters: Callable[[str, str], bool]
) -> dict[str, Any]:
    """Returns the resolved settings of one group of a cell, those that matter.

    cell: its overrides. matters: group, name -> whether the setting does.
    """
    told, changes = {"scale": scale}, []
    for text in cell:
        override = _parsed(text)
        if override.package is not None:  # of a surrogate
            continue
        if _is_choice(override):
            told[override.key_or_group] = str(override.value())
        else:
            changes.append(text)
    choices = {**_default_choices(), **told}
    for name in ("dataset", "preset"):  # which choose for others, unless the cell does
        path = _path(name, choices[name])
        choices |= {**(chosen_by(path) if path.exists() else {}), **told}
    needed, waiting = {}, [group]
    while waiting:
        name = waiting.pop()
        if name in choices and name not in needed:
            needed[name] = choices[name]
            set_by_cell = [text for text in changes if _parsed(text).key_or_group.startswith(f"{name}.")]
            waiting += REFERENCE.findall(f"{_node(name, choices[name])}{set_by_cell}")
    own = tuple(text for text in changes if _parsed(text).key_or_group.split(".")[0] in needed)
    return _resolved(group, tuple(sorted(needed.items())), own, matters)


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
    wanted = [name for name in config[group] if matters(group, name)]
    found = OmegaConf.create(numbers(_referenced(config, group, wanted)))[group]
    return {str(name): _value(found, str(name)) for name in wanted}


def _referenced(config: dict[str, Any], group: str, wanted: Sequence[str]) -> dict[str, Any]:
    """The wanted settings of a group, and those that their interpolations name; all would take long."""
    found: dict[str, Any] = {group: {}}
    waiting: list[tuple[str, ...]] = [(group, name) for name in wanted]
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


def _value(node: Any, name: str) -> Any:
    value = node[name]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@cache
def _default_choices() -> dict[str, str]:
    """What `conf/config.yaml` chooses of each group."""
    register_resolvers()
    chosen = chosen_by(CONF / "config.yaml")
    return {name: choice for name, choice in chosen.items() if _path(name, choice).exists()}


@cache
def _node(group: str, choice: str) -> dict[str, Any]:
    """The settings of a choice, interpolations unresolved."""
    return read_settings(_path(group, choice))


def _path(group: str, choice: str) -> Path:
    return CONF / group / f"{choice}.yaml"


def _is_choice(override: Override) -> bool:
    """Whether it chooses a config file, as `defense=prd` does."""
    return (CONF / override.key_or_group).is_dir()


@cache
def _parsed(text: str) -> Override:
    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except HydraException:  # an interpolation within another has to be quoted
        name, _, value = text.partition("=")
        return parser.parse_override(f"{name}='{value}'")
