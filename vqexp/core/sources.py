"""What tells the versions of a component apart that is not the library's own: source, package, files.

A result is found again only where the code that made it is the same.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

from vqexp.core.components import Component, distribution, is_ours
from vqexp.core.errors import ConfigError
from vqexp.core.files import file_error, hash_files, sha256_of_file
from vqexp.core.keys import key_of
from vqexp.core.kinds import is_installed

# module name -> (hash of its file when it was first met, the object that was asked for then)
_met: dict[str, tuple[str, Any]] = {}


def source_of(component: Component) -> dict[str, Any]:
    """Nothing for a component of the library; else, for its key and for the record:

    source: a hash of its module's file, of its bases' and of every module of the user's own that these
    import. packages: name and version, where it, or a base of it, is installed. version: what the user set.
    files: hashes of the files that its settings name. parts: the same of the components among its settings,
    with the `VERSION` of those that are the library's.

    A class of the library's that reads folders names their settings in `FOLDERS`: it has `files` too. Raises
    `ConfigError` for a module without source.
    """
    parts = {name: found for name, part in component.parts.items() if (found := _part(part))}
    told: dict[str, Any] = {"parts": parts} if parts else {}
    folders = [name for name in getattr(component.factory, "FOLDERS", ()) if name in component.arguments]
    if folders:
        told["files"] = {name: _hash_of_folder(component.arguments[name]) for name in folders}
    if is_ours(component.settings["_target_"]):
        return told
    group, found = component.group, {}
    if component.version is not None:
        found["version"] = component.version
    packages, modules = origins(component.factory)
    if modules:
        found["source"] = key_of(sorted(_hash(group, component, module) for module in modules))
    if packages:
        found["packages"] = sorted(packages)
    files = {
        name: sha256_of_file(Path(value))
        for name, value in component.arguments.items()
        if isinstance(value, str) and Path(value).is_file()
    }
    return {**found, **({"files": files} if files else {}), **told}


def _hash_of_folder(folder: str) -> str:
    """A hash of the names and contents of the files in a folder, not of those in folders below it."""
    path = Path(folder).expanduser()
    try:
        files = sorted(entry for entry in path.iterdir() if entry.is_file())
    except OSError as error:
        raise file_error(path, error) from None
    return key_of([file.name for file in files], hash_files(str(path), files))


def _part(component: Component) -> dict[str, Any]:
    """`source_of` a nested component, with its `VERSION` if it is the library's."""
    ours = is_ours(component.settings["_target_"])
    return {**({"version": getattr(component.factory, "VERSION", 1)} if ours else {}), **source_of(component)}


def origins(factory: Any) -> tuple[set[str], list[ModuleType]]:
    """`name version` of the installed packages, and the user's own modules, that the factory is made of."""
    parts = inspect.getmro(factory) if inspect.isclass(factory) else [factory]
    packages, waiting = set(), []
    for part in parts:
        module = sys.modules.get(getattr(part, "__module__", "") or "")
        if module is None or module.__name__ == "builtins" or is_ours(f"{module.__name__}."):
            continue
        if is_installed(module):
            packages.add(" ".join(distribution(module.__name__)))
        else:
            waiting.append(module)
    return packages, list(_own_closure(waiting))


def _own_closure(waiting: list[ModuleType]) -> Iterator[ModuleType]:
    """The modules, and those of the user's own that they import, wherever in their source they do so."""
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module.__name__ in seen:
            continue
        seen.add(module.__name__)
        yield module
        for name in _imports(module):
            other = sys.modules.get(name)
            if other is not None and not is_ours(f"{name}.") and not is_installed(other):
                waiting.append(other)


def _imports(module: ModuleType) -> set[str]:
    """Names of the modules that the source of a module imports; none if it has no source."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            package = module.__package__ or module.__name__
            base = (
                resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            )
            names |= {str(base), *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def _hash(group: str, component: Component, module: ModuleType) -> list[str]:
    """[name, hash of the file] of one of the user's own modules."""
    path = getattr(module, "__file__", None)
    if path is None or Path(path).suffix != ".py" or not Path(path).is_file():
        if component.version is not None:
            return [module.__name__, ""]
        raise ConfigError(
            f"{group}._target_={component.settings['_target_']}: the module {module.__name__} has no source "
            f"to tell its versions apart; set {group}.version=1, and raise it whenever the code changes"
        )
    now = sha256_of_file(Path(path))
    before, asked_for = _met.get(module.__name__, (now, component.factory))
    if before != now and asked_for is component.factory:
        raise ConfigError(f"{path} has changed since it was imported: start Python again")
    _met[module.__name__] = now, component.factory
    return [module.__name__, now]
