"""From a Hydra config to plain data: resolvers, fractions, one-line messages."""

import math
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vqexp.core.errors import ConfigError
from vqexp.core.places import local_folder

PACKAGE = Path(__file__).parents[1]
# inside the package where it is installed, beside it in a checkout
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())

# `8/255`, as people write a fraction
FRACTION = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")
NO_CHOICE = re.compile(r"null|true|false|[-+]?\.?\d[\d._]*(e[-+]?\d+)?|[-+]?(inf|nan)", re.IGNORECASE)
QUOTED = "; a value with other than plain letters needs quotes, as in \"name='a, b'\""
# settings that hold no number
TEXTS = ("root", "name", "path", "file", "checkpoint", "start", "shard", "_target_")

# what Hydra 1.3 does, and later versions of it and of OmegaConf warn of
warnings.filterwarnings("ignore", r"(The version_base parameter|register_new_resolver\(\)) is deprecated")
warnings.filterwarnings("ignore", r"Implicit conversion from \w+ to \w+ at 'hydra\.")


def register_resolvers() -> None:
    """`${div:4,255}`, `${mul:0.1,${attack.eps}}`, `${add:${seed},1}`, `${first:null,5}` (the first that is
    not null), `${least:null,5,7}` (the least that is not null), and `${equal:${attack.norm},l2,1,0.1}` (1 if
    the first two are equal, else 0.1). Each takes `8/255` as the number that it is. `${local_folder:...}` is
    `vqexp.core.places.local_folder`.
    """
    resolvers: dict[str, Callable[..., Any]] = {
        "div": lambda a, b: _number(a) / _number(b),
        "mul": lambda a, b: _number(a) * _number(b),
        "add": lambda a, b: _number(a) + _number(b),
        "equal": lambda a, b, then, otherwise: then if a == b else otherwise,
        "least": lambda *values: min((value for value in values if value is not None), default=None),
        "first": lambda *values: next((value for value in values if value is not None), None),
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, _of_numbers(resolver), replace=True)
    OmegaConf.register_new_resolver("local_folder", _folder, replace=True)


def _folder(root: Any) -> str:
    try:
        return str(local_folder(str(root)))
    except ConfigError:  # the run says what is wrong
        return "."


def _of_numbers(resolver: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: resolver(*map(numbers, values))


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as plain data, every interpolation resolved and `8/255` a number; raises `ConfigError`."""
    try:
        raw = OmegaConf.to_container(config)
        told = numbers(raw)
        whole = config if told == raw else OmegaConf.create(told)
        plain = OmegaConf.to_container(whole, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(config_message(error)) from None
    except (TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"an interpolation fails: {error}") from None
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def numbers(value: Any, name: str = "") -> Any:
    """Plain data with texts such as `8/255` replaced by the number."""
    if isinstance(value, dict):
        return {key: numbers(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list):
        return [numbers(entry, name) for entry in value]
    found = FRACTION.fullmatch(value) if isinstance(value, str) and name not in TEXTS else None
    return float(found[1]) / float(found[2]) if found and float(found[2]) else value


def config_message(error: BaseException) -> str:
    """One line for what Hydra and OmegaConf say in several, with what exists."""
    if isinstance(error.__cause__, ConfigError):
        return config_message(error.__cause__)
    text = str(error)
    missing = re.search(r"Could not find '([^']*)'\s*Available options in '([^']*)':((?:\n\t\S+)*)", text)
    if missing:
        place, group, options = missing.groups()
        found = ", ".join(sorted({*options.split(), *_in_folders(group)}))
        return f"{group}={place.removeprefix(f'{group}/')} does not exist; choose one of {found}"
    unknown = re.search(r"Could not override '([^']*)'", text)
    if unknown:
        node: Any = getattr(error.__cause__, "parent_node", None) or {}
        exists = ", ".join(sorted(str(name) for name in node if name not in ("_target_", "hydra")))
        return f"{unknown.group(1)} is no setting; there is {exists or '(see --cfg job)'}"
    unset = re.search(r"Missing mandatory value: (\S+)\s+full_key: (\S+)", text)
    if unset:
        name = unset[1] if "." in unset[1] else unset[2]  # of an interpolation, what it leads to
        return f"{name} is not set; add {name}=VALUE"
    launcher = re.search(r"In 'hydra/launcher/(\w+)': Could not load", text)
    if launcher:
        return f"hydra/launcher={launcher[1]} needs an extra, pip install 'vqexp[cluster]'"
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r} as name=value: {_line(error)}{QUOTED}"
    if text.startswith("Error merging override") and error.__cause__:
        return f"{_line(error)}: {_line(error.__cause__)}"
    return _line(error) or f"the settings cannot be read ({type(error).__name__})"


def check_choices(overrides: Sequence[str]) -> None:
    """Raise `ConfigError` for a group that is set to null or a number, of which Hydra does not say which."""
    for text in overrides:
        group, _, value = text.lstrip("+").partition("=")
        if NO_CHOICE.fullmatch(value) and re.fullmatch(r"[a-z_/]+", group) and (CONF / group).is_dir():
            found = {path.stem for path in (CONF / group).glob("*.yaml")} | _in_folders(group)
            raise ConfigError(f"{group}={value} is no choice; choose one of {', '.join(sorted(found))}")


def _in_folders(group: str) -> set[str]:
    """A group's choices in folders, as `vq/mnist`; what is in a folder `base` is for others to build on."""
    paths = [path for path in (CONF / group).glob("*/*.yaml") if path.parent.name != "base"]
    return {path.relative_to(CONF / group).with_suffix("").as_posix() for path in paths}


CONFIG_FAULTS = (ConfigError, HydraException, OmegaConfBaseException)
READERS = ("hydra", "omegaconf", "antlr4")  # packages that read the command line and the config


def is_readers(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf raised `error`: then what they read is wrong, whatever they call it."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    tops = [name.partition(".")[0] for name in modules]
    return next((top in READERS for top in reversed(tops) if top not in sys.stdlib_module_names), False)


def _line(error: BaseException) -> str:
    text = re.sub(
        r"(Set the environment variable HYDRA_FULL_ERROR=1|See https://hydra).*", "", str(error), flags=re.S
    )
    text = re.sub(r"\S{200,}", lambda long: f"{long[0][:60]}...", text)
    return " ".join(text.split())


def finite(value: Any) -> Any:
    """Plain data with NaN replaced by None, as JSON wants it."""
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
