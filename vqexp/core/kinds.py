"""What a `_target_` must be, told without calling it: a config names code, and not any code may run."""

import inspect
import site
import sys
import sysconfig
import types
import typing
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from vqexp.core.errors import require

Kinds = tuple[type, ...]  # any of them; none: whatever is no part of Python itself


def check_kind(name: str, factory: Any, kinds: Kinds) -> None:
    """Raise `ConfigError` unless calling `factory` gives one of `kinds`.

    A class must be one. A function must say so by the annotation of its result; without an annotation it must
    be the user's own code, which nothing else is known of. name: what was set, for the message.
    """
    require(callable(factory), f"{name} is {_what(factory)}; name a class or a function in it")
    function = factory.func if isinstance(factory, partial) else factory
    given = function if inspect.isclass(function) else _result(function)
    if not kinds:
        require(not _is_pythons(function), f"{name} is a part of Python itself, and no component")
        return
    if given is None:
        fits = not is_installed(_module(function))
    else:
        fits = any(_is_one(given, kind) for kind in kinds)
    wanted = " or ".join(map(label, kinds))
    advice = "" if inspect.isclass(function) else f"; a function must say that it returns one: `-> {wanted}`"
    require(fits, f"{name} is no {wanted}{advice}")


def kinds_of(hint: Any) -> Kinds:
    """The classes that an annotation allows, or that what it allows to call returns; none: anything."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        found = [kinds_of(each) for each in typing.get_args(hint) if each is not type(None)]
        return tuple(kind for kinds in found for kind in kinds) if all(found) else ()
    if typing.get_origin(hint) is Callable:
        return kinds_of(typing.get_args(hint)[-1])
    hint = typing.get_origin(hint) or hint
    return (hint,) if inspect.isclass(hint) and hint not in (object, Any) else ()


def part_kinds(factory: Any, name: str) -> Kinds:
    """What the parameter `name` of `factory` is annotated to take."""
    if inspect.isclass(factory):
        for cls in factory.__mro__:
            hint = _hints(vars(cls).get("__init__")).get(name)
            if hint is not None:
                return kinds_of(hint)
        return ()
    return kinds_of(_hints(factory).get(name))


def label(kind: type) -> str:
    """The shortest name by which a class can be imported."""
    parts = kind.__module__.split(".")
    for length in range(1, len(parts)):
        place = ".".join(parts[:length])
        if getattr(sys.modules.get(place), kind.__name__, None) is kind:
            return f"{place}.{kind.__name__}"
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def is_installed(module: types.ModuleType | None) -> bool:
    """Part of Python or of an installed package; without a file: built in, unless it is `__main__`."""
    path = getattr(module, "__file__", None)
    if path is None:
        name = getattr(module, "__name__", "builtins")
        return name != "__main__" and name in sys.builtin_module_names
    return any(Path(path).resolve().is_relative_to(root) for root in _roots())


@cache
def _roots() -> list[Path]:
    paths = sysconfig.get_paths()
    roots = [paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    return [Path(root).resolve() for root in [*roots, *site.getsitepackages(), site.getusersitepackages()]]


def _is_one(given: type, kind: type) -> bool:
    if getattr(kind, "_is_protocol", False):
        own = (name for name, value in vars(kind).items() if inspect.isfunction(value))
        methods = [name for name in own if name not in ("__init__", "__subclasshook__")]
        return not _is_pythons(given) and all(callable(getattr(given, name, None)) for name in methods)
    return issubclass(given, kind)


def _result(function: Any) -> type | None:
    """The class that a function's annotation names; None if there is no annotation, or it cannot be read."""
    hint = _hints(function if inspect.isroutine(function) else type(function).__call__).get("return")
    hint = typing.get_origin(hint) or hint
    return object if hint is Any else hint if inspect.isclass(hint) else None


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function) if callable(function) else {}
    except Exception:  # an annotation may hold any code
        return {}


def _module(function: Any) -> types.ModuleType | None:
    return sys.modules.get(getattr(function, "__module__", None) or type(function).__module__)


def _is_pythons(function: Any) -> bool:
    name = getattr(function, "__module__", None) or type(function).__module__
    return name.partition(".")[0] in sys.stdlib_module_names and name != "__main__"


def _what(value: Any) -> str:
    return "a module" if isinstance(value, types.ModuleType) else f"a {type(value).__name__}"


def check_made(name: str, made: Any, kind: type) -> None:
    """Raise `ConfigError` unless `made` is one of `kind`: of a function of the user's own it is known now."""
    require(_is_one(type(made), kind), f"{name}._target_ gives {_what(made)}; it must be a {label(kind)}")
