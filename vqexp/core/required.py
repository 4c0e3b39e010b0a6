"""The settings that every run has, whatever its components: there, and of their kind."""

from collections.abc import Mapping
from typing import Any

from vqexp.core.errors import ConfigError, require
from vqexp.core.places import place

GROUPS = (
    *("scale", "preset", "dataset", "classifier", "training"),
    *("defense", "adversary", "attack", "metric", "logger"),
)
KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "metrics": ((Mapping, type(None)), "a mapping, which metric=[accuracy,gradients] fills in"),
    "store": (Mapping, "a mapping with a root; set store.root=DIR"),
    "seed": (int, "an integer"),
    "device": (str, "auto, cpu, cuda or cuda:N"),
    "precision": (str, "float32 or bfloat16"),
    "compile": (bool, "true or false"),
    "optimize": ((str, type(None)), "the name of a metric, or null"),
    "dry_run": (bool, "true or false"),
    "shard": ((str, type(None)), "I/N such as 2/4, or null"),
    "cell": ((str, type(None)), "TABLE/ROW/COLUMN, or null"),
    "place": ((str, type(None)), "a text, or null"),
}
OF_SWEEPS = ("optimize", "dry_run", "shard", "cell", "place")  # which the config of a record has not
OTHERS = ("fine_tuning", "table", "figure", "hydra")  # which a run has, or has not
EMPTY = (None, "")


def check_required(config: Mapping[str, Any]) -> None:
    """Raise `ConfigError`, naming the setting, unless a config has all settings of a run and no others."""
    known = (*GROUPS, *KINDS, *OTHERS)
    for name in config:
        require(name in known, f"{name} is no setting; there is {', '.join(sorted(known))}")
    for name in GROUPS:
        found = config.get(name)
        fits = isinstance(found, Mapping)
        require(fits, f"{name} is {found!r}; it must be one of the group's choices: {name}=NAME (see --help)")
    for name, (kind, allowed) in KINDS.items():
        if name in OF_SWEEPS and name not in config:
            continue
        found = config.get(name)
        there = found is not None or (isinstance(kind, tuple) and type(None) in kind)
        require(there and isinstance(found, kind), f"{name} is {found!r}; it must be {allowed}")
    for name, found in (config.get("metrics") or {}).items():
        require(isinstance(found, Mapping), f"metrics.{name} is {found!r}; it must be a metric's settings")
    for group, name in (("scale", "name"), ("store", "root")):
        found = config[group].get(name)
        fits = isinstance(found, str) and found.strip() != ""
        where = "; name a writable folder" if group == "store" else ""
        problem = "empty" if found in EMPTY else f"{found!r}"
        require(fits, f"{group}.{name} is {problem}{where or '; it must be a text'}")
    root = config["store"]["root"]
    try:
        place(root)
    except ConfigError as error:
        raise type(error)(f"store.root={error}") from None
