"""From a group's settings to the object that they describe, and to the arguments that it really gets."""

import importlib.metadata
import inspect
import json
import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from vqexp.core.errors import ConfigError, one_line, require

# What says where and how to compute but not what: no part of any key.
EXECUTION = frozenset({"root", "download", "memory_limit", "cost"})
OWN = ("defense", "classifier", "training", "adversary", "attack", "metric", "logger")
NONE = inspect.Parameter.empty
logging.getLogger("hydra.utils").disabled = True  # what cannot be imported is told by our own error


@dataclass(frozen=True)
class Component:
    """What a group's settings come to: call `factory` with `arguments`.

    settings: `_target_` and all arguments, the factory's own defaults among them: what the record holds.
    version: what the user says of code without source.
    """

    group: str
    factory: Any
    arguments: dict[str, Any]
    settings: dict[str, Any]
    version: Any = None

    def make(self) -> Any:
        """The object. Raises `ConfigError`, naming the group, if the factory takes other arguments."""
        try:
            return self.factory(**self.arguments)
        except TypeError as error:
            raise ConfigError(f"{self.group}: {one_line(error)}") from None


def component(
    group: str,
    settings: Mapping[str, Any],
    *,
    offered: Mapping[str, Any] | None = None,
    known: Collection[str] = (),
) -> Component:
    """The component of a group.

    offered: arguments for a target that takes them, unless they are set. known: settings that are there for
    other groups and go to the target only if it takes them. Raises `ConfigError` for an unknown target, or a
    setting that the target does not take.
    """
    target, factory = settings.get("_target_"), target_of(group, settings)
    given = {name: value for name, value in settings.items() if name != "_target_"}
    defaults = parameters(factory)
    version = None
    if defaults is None:
        arguments, unset = given, {}
    else:
        if not is_ours(target) and "version" not in defaults:
            version = given.pop("version", None)
        unknown = sorted(set(given) - set(defaults) - set(known))
        takes = ", ".join(sorted(defaults)) or "no settings"
        require(not unknown, f"{group} has no {', '.join(unknown)}; {target} takes {takes}")
        arguments = {name: value for name, value in (offered or {}).items() if name in defaults}
        arguments |= {name: value for name, value in given.items() if name in defaults}
        unset = {name: plain(d) for name, d in defaults.items() if name not in arguments and d is not NONE}
    told = {} if version is None else {"version": version}
    return Component(group, factory, arguments, {**settings, **arguments, **unset, **told}, version)


def build(group: str, settings: Mapping[str, Any]) -> Any:
    """The object that `settings` describes. Raises as `component` does."""
    return component(group, settings).make()


def target_of(group: str, settings: Mapping[str, Any]) -> Any:
    """What the `_target_` of a group's settings names. Raises `ConfigError` if it cannot be imported."""
    target = settings.get("_target_")
    require(isinstance(target, str), f"{group} has no _target_; choose one with {group}=NAME")
    written = sys.dont_write_bytecode
    if not is_ours(target):
        # Python takes a compiled file of the same size and second for the edited source
        sys.dont_write_bytecode = True
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
    try:
        return get_object(str(target))
    except Exception as error:
        raise ConfigError(f"{group}._target_={target} cannot be imported: {one_line(error)}") from None
    finally:
        sys.dont_write_bytecode = written


def is_ours(target: Any) -> bool:
    """Whether a `_target_` is the library's own, whose results its VERSION tells apart."""
    return str(target).startswith("vqexp.")


def parameters(factory: Any) -> dict[str, Any] | None:
    """name -> default (or `NONE`), following **settings up a class's bases; None if it takes any name."""
    from torch import nn  # slow to import, and not needed to read a command line

    layers: list[Any] = [factory]
    if inspect.isclass(factory):
        # the roots declare *args, **kwargs but take nothing
        bases = [cls for cls in factory.__mro__ if cls not in (nn.Module, object)]
        layers = [vars(cls)["__init__"] for cls in bases if "__init__" in vars(cls)]
    found: dict[str, Any] = {}
    for layer in layers:
        taken = inspect.signature(layer).parameters.values()
        for parameter in taken:
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                found.setdefault(parameter.name, parameter.default)
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in taken):
            break
    else:
        if not inspect.isclass(factory):
            return None
    found.pop("self", None)
    return found


def plain(value: Any) -> Any:
    """A default as JSON holds it; its text, if JSON cannot."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return repr(value)


def own_choices(overrides: Sequence[str]) -> list[str]:
    """Overrides in which a group whose `_target_` is set has that target's settings and no others.

    `defense._target_=mine.D defense.std=0.2` becomes `defense._target_=mine.D ++defense.std=0.2
    defense=own`: the settings of the choice that it replaces do not reach it.
    """
    own = [
        group for group in OWN if any(text.lstrip("+").startswith(f"{group}._target_=") for text in overrides)
    ]
    roots, found = tuple(f"{group}." for group in own), []
    for text in overrides:
        if text.startswith(tuple(f"{group}=" for group in own)):
            continue
        is_setting = text.startswith(roots) and not text.partition("=")[0].endswith("._target_")
        found.append(f"++{text}" if is_setting else text)
    return [*found, *(f"{group}=own" for group in own)]  # last, as flags come first


def distribution(module: str) -> tuple[str, str]:
    """(name, version) of the installed package that a module is part of."""
    top = module.partition(".")[0]
    names = importlib.metadata.packages_distributions().get(top)
    if not names:
        return "python", sys.version.split()[0]
    return names[0], importlib.metadata.version(names[0])
