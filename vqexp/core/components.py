"""From a group's settings to the object that they describe, and to the arguments that it really gets."""

import importlib.metadata
import inspect
import json
import logging
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from vqexp.core.errors import ConfigError, WorkError, one_line, require
from vqexp.core.kinds import Kinds, check_kind, part_kinds

# What says where and how to compute but not what: no part of any key.
EXECUTION = frozenset({"root", "download", "memory_limit", "backend", "cost"})
OWN = (
    *("dataset", "defense", "classifier", "training", "fine_tuning"),
    *("adversary", "attack", "metric", "logger"),
)
CHOSEN = {"fine_tuning": "training@fine_tuning"}  # how what is no group of its own is chosen
NONE = inspect.Parameter.empty
logging.getLogger("hydra.utils").disabled = True  # what cannot be imported is told by our own error


@dataclass(frozen=True)
class Component:
    """What settings come to: call `factory` with `arguments`.

    group: where the settings stand, such as `defense` or `training.objective`.
    settings: `_target_` and all arguments, the factory's own defaults among them: what the record holds.
    version: what the user says of code without source.
    parts: the arguments that are components themselves. partial: whoever gets the component calls it later,
    with further arguments.
    """

    group: str
    factory: Any
    arguments: dict[str, Any]
    settings: dict[str, Any]
    version: Any = None
    parts: dict[str, "Component"] = field(default_factory=dict)
    partial: bool = False

    def make(self) -> Any:
        """The object. Raises `ConfigError`, naming the group, if the factory cannot make it."""
        arguments = {**self.arguments, **{name: part.make() for name, part in self.parts.items()}}
        try:
            return partial(self.factory, **arguments) if self.partial else self.factory(**arguments)
        except (ConfigError, WorkError):
            raise
        except TypeError as error:
            raise ConfigError(f"{self.group}: {one_line(error)}") from error
        except Exception as error:  # whatever the library, or the user's code, raises
            target, why = self.settings["_target_"], f"{type(error).__name__}: {one_line(error)}"
            raise ConfigError(f"{self.group}._target_={target} cannot be built: {why}") from error


def component(
    group: str,
    settings: Mapping[str, Any],
    *,
    offered: Mapping[str, Any] | None = None,
    known: Collection[str] = (),
    kinds: Kinds = (),
    is_partial: bool = False,
) -> Component:
    """The component that settings describe.

    A setting that has a `_target_` itself is a component too, and `_partial_: true` leaves it to be called
    later. A class says in `PLAIN` which of its settings it takes as they are, whatever they hold, and in
    `PARTIAL` which are always called later.

    offered: arguments for a target that takes them, unless they are set. known: settings that are there for
    other groups and go to the target only if it takes them. kinds: what the target must give (`check_kind`);
    of a nested component its parameter's annotation says so. Raises `ConfigError` for an unknown target, one
    of another kind, or a setting that the target does not take.
    """
    target, factory = settings.get("_target_"), target_of(group, settings)
    check_kind(f"{group}._target_={target}", factory, kinds)
    is_partial = bool(settings.get("_partial_", is_partial))
    given = {name: value for name, value in settings.items() if name not in ("_target_", "_partial_")}
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
        # whoever calls a partial sets what is not set yet
        rest = {} if is_partial else defaults
        unset = {name: plain(d) for name, d in rest.items() if name not in arguments and d is not NONE}
    parts = {
        name: component(
            f"{group}.{name}",
            arguments[name],
            kinds=part_kinds(factory, name),
            is_partial=name in getattr(factory, "PARTIAL", ()),
        )
        for name in nested(factory, arguments)
    }
    told = {name: part.settings for name, part in parts.items()}
    told |= {} if version is None else {"version": version}
    complete = {**settings, **arguments, **unset, **told}
    return Component(group, factory, arguments, complete, version, parts, is_partial)


def nested(factory: Any, settings: Mapping[str, Any]) -> list[str]:
    """Names of the settings of `factory` that are components themselves."""
    as_they_are = getattr(factory, "PLAIN", ())
    return [
        name
        for name, value in settings.items()
        if isinstance(value, Mapping) and "_target_" in value and name not in as_they_are
    ]


def build(group: str, settings: Mapping[str, Any], kinds: Kinds = ()) -> Any:
    """The object that `settings` describes. Raises as `component` does."""
    return component(group, settings, kinds=kinds).make()


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
    """Overrides in which a group or a nested component whose `_target_` is set has no other's settings.

    `defense._target_=mine.D defense.std=0.2` becomes `defense._target_=mine.D ++defense.std=0.2
    defense=own`, and `training.objective._target_=mine.O` becomes `~training.objective
    ++training.objective._target_=mine.O`: the settings of the choice that it replaces do not reach it.
    `metric=[accuracy,gradients]` becomes `metric=accuracy +metric@metrics.gradients=gradients`, and
    `attack.settings.steps=5` becomes `++attack.settings.steps=5`.
    """
    overrides = [each for text in overrides for each in _single_metrics(text)]
    targets = [text.lstrip("+").partition("._target_=")[0] for text in overrides if "._target_=" in text]
    groups = [name for name in OWN if name in targets]
    # a surrogate's settings are changes to f's, and need not be there
    changed = {*OWN} - {"adversary", *groups}
    inside = [path for path in targets if "." in path and path.split(".")[0] in changed]
    removed = [path for path in inside if not any(path.startswith(f"{other}.") for other in inside)]
    roots, found = tuple(f"{name}." for name in (*groups, *removed)), list[str]()
    for text in overrides:
        if text.startswith(tuple(f"{CHOSEN.get(name, name)}=" for name in groups)):
            continue
        # in place, as flags come first
        gone = [path for path in removed if text.lstrip("+").startswith(f"{path}.")]
        found += [f"~{path}" for path in gone if f"~{path}" not in found]
        is_setting = text.startswith(roots) and text.partition("._target_=")[0] not in groups
        is_setting |= text.startswith("attack.settings.")  # of another library's class
        found.append(f"++{text}" if is_setting else text)
    return [*found, *(f"{CHOSEN.get(name, name)}=own" for name in groups)]


def _single_metrics(override: str) -> list[str]:
    """A list of metrics as the choice of the first and of each further one."""
    found = re.fullmatch(r"metric=\[\s*([\w/]+(?:\s*,\s*[\w/]+)*)\s*\]", override)
    if not found:
        return [override]
    first, *more = (name.strip() for name in found[1].split(","))
    return [f"metric={first}", *(f"+metric@metrics.{name}={name}" for name in more)]


@cache
def distribution(module: str) -> tuple[str, str]:
    """(name, version) of the installed package that a module is part of."""
    top = module.partition(".")[0]
    names = importlib.metadata.packages_distributions().get(top)
    if not names:
        return "python", sys.version.split()[0]
    return names[0], importlib.metadata.version(names[0])
