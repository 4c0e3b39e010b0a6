"""From a Hydra config to objects: resolvers, instantiation with clear errors, one-line messages."""

import inspect
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from vqexp.defenses.kmeans import default_start
from vqexp.errors import ConfigError, require

CONF = Path(__file__).parents[1] / "conf"

# What says where and how to compute but not what: no part of any key.
EXECUTION = frozenset({"root", "download", "memory_limit", "cost"})


def register_resolvers() -> None:
    """`${div:4,255}`, `${mul:0.1,${attack.eps}}`, `${add:${seed},1}`, `${first:null,5}` (the first that is
    not null), `${least:null,5,7}` (the least that is not null), and `${default_start:2}` (how k-means starts
    at that patch size).
    """
    OmegaConf.register_new_resolver("div", lambda a, b: a / b, replace=True)
    OmegaConf.register_new_resolver("mul", lambda a, b: a * b, replace=True)
    OmegaConf.register_new_resolver("add", lambda a, b: a + b, replace=True)
    OmegaConf.register_new_resolver("default_start", default_start, replace=True)
    OmegaConf.register_new_resolver(
        "least",
        lambda *values: min((value for value in values if value is not None), default=None),
        replace=True,
    )
    OmegaConf.register_new_resolver(
        "first", lambda *values: next((value for value in values if value is not None), None), replace=True
    )


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as plain data, every interpolation resolved; raises `ConfigError`."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(config_message(error)) from None
    except (TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"an interpolation fails: {error}") from None
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def build(group: str, settings: Mapping[str, Any], *, ignore: bool = False) -> Any:
    """The object that `settings` describes: `_target_` called with the other settings.

    `ignore` drops settings that the target does not take (they are there for other groups).
    Raises `ConfigError`, naming the group, for an unknown target or setting.
    """
    target, factory = settings.get("_target_"), target_of(group, settings)
    arguments = {name: value for name, value in settings.items() if name != "_target_"}
    names = _parameters(factory)
    if names is not None:
        unknown = sorted(set(arguments) - names)
        if ignore:
            arguments = {name: value for name, value in arguments.items() if name in names}
        else:
            require(
                not unknown, f"{group} has no {', '.join(unknown)}; {target} takes {', '.join(sorted(names))}"
            )
    try:
        return factory(**arguments)
    except TypeError as error:
        raise ConfigError(f"{group}: {_line(error)}") from None


def target_of(group: str, settings: Mapping[str, Any]) -> Any:
    """What the `_target_` of a group's settings names. Raises `ConfigError` if it cannot be imported."""
    target = settings.get("_target_")
    require(isinstance(target, str), f"{group} has no _target_; choose one with {group}=NAME")
    try:
        return get_object(str(target))
    except Exception as error:
        raise ConfigError(f"{group}._target_={target} cannot be imported: {_line(error)}") from None


def identity(settings: Mapping[str, Any], version: int = 1) -> dict[str, Any]:
    """What of a group's settings determines its results: for keys."""
    kept = {name: value for name, value in settings.items() if name not in EXECUTION}
    return {**kept, "version": version}


def config_message(error: BaseException) -> str:
    """One line for what Hydra and OmegaConf say in several, with what exists."""
    text = str(error)
    missing = re.search(
        r"Could not find '([^']*)/([^'/]*)'\s*Available options in '[^']*':((?:\n\t\S+)*)", text
    )
    if missing:
        group, value, options = missing.groups()
        return f"{group}={value} does not exist; choose one of {', '.join(sorted(options.split()))}"
    unknown = re.search(r"Could not override '([^']*)'", text)
    if unknown:
        node: Any = getattr(error.__cause__, "parent_node", None) or {}
        exists = ", ".join(sorted(str(name) for name in node if name not in ("_target_", "hydra")))
        return f"{unknown.group(1)} is no setting; there is {exists or '(see --cfg job)'}"
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as name=value: {_line(error)}"
    return _line(error)


CONFIG_FAULTS = (ConfigError, HydraException, OmegaConfBaseException)


def _line(error: BaseException) -> str:
    text = re.sub(
        r"(Set the environment variable HYDRA_FULL_ERROR=1|See https://hydra).*", "", str(error), flags=re.S
    )
    return " ".join(text.split())


def _parameters(factory: Any) -> set[str] | None:
    """Names that `factory` takes, following **settings up a class's bases; None if any."""
    layers: list[Any] = [factory]
    if inspect.isclass(factory):
        # the roots declare *args, **kwargs but take nothing
        bases = [cls for cls in factory.__mro__ if cls not in (nn.Module, object)]
        layers = [vars(cls)["__init__"] for cls in bases if "__init__" in vars(cls)]
    names: set[str] = set()
    for layer in layers:
        parameters = inspect.signature(layer).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)} - {
            "self"
        }
        if all(p.kind != p.VAR_KEYWORD for p in parameters):
            return names
    return names if inspect.isclass(factory) else None


def finite(value: Any) -> Any:
    """Plain data with NaN replaced by None, as JSON wants it."""
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
