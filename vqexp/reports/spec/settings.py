"""Settings of a run as a mapping, `{defense: prd, defense.k: 25}`, read from overrides and written as such.

A name without a dot chooses a file of its group; one with a dot sets a value. Names keep Hydra's `+` and
`@package`, which the settings of a surrogate need.
"""

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from vqexp.core.errors import ConfigError, one_line, require

PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z_][\w.]*|\$\{[a-z_.]+\}", re.IGNORECASE)


def from_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Returns what the overrides set, the last one of a name; raises `ConfigError` for any other text."""
    return dict(_setting(text) for text in overrides)


def to_overrides(settings: Mapping[str, Any]) -> list[str]:
    """Returns the overrides with which Hydra sets this."""
    return [f"{name}={_text(value)}" for name, value in settings.items()]


def group_of(name: str) -> str:
    """Returns the group of a setting: `defense` for `defense`, `defense.k` and `+defense.k=4`."""
    return re.split("[.=]", name.lstrip("+"))[0]


@cache
def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    require(name and equals, f"cannot read {text!r}; it must be name=value")
    if value.startswith("${"):  # Hydra wants an interpolation within another in quotes
        return name, value
    try:
        return name, OverridesParser.create().parse_override(text).value()
    except HydraException as error:
        raise ConfigError(f"cannot read {text!r} as name=value: {one_line(error)}") from None


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{_text(entry)}' for name, entry in value.items())}}}"
    if not isinstance(value, str) or PLAIN.fullmatch(value):
        return str(value)
    escaped = re.sub(r"(\\*)(?='|$)", r"\1\1", value).replace("'", r"\'")
    return f"'{escaped}'"
