"""Checking the shape of a table's, figure's or audit's config before it is used."""

from collections.abc import Collection, Mapping
from typing import Any

from omegaconf import DictConfig

from vqexp.core.errors import require
from vqexp.core.required import check_required

TEXTS = (
    "common",
    "only_rows",
    "only_columns",
    "without",
    "judged",
    "strong",
    "surrogate",
    "notes",
    "shows",
    "of",
)
MAPPINGS = ("columns", "x", "reported", "at_zero")
ENTRIES = {
    "rows": "label",
    "panels": "label",
    "series": "label",
    "claims": "text",
    "readings": "label",
}  # lists, and what each names


def check_choice(config: DictConfig) -> None:
    """Raise `ConfigError` unless a run's settings are all there, and at most one of table and figure is."""
    check_required(config)
    for name in ("table", "figure"):
        found = config.get(name)
        named = found is None or (isinstance(found, Mapping) and isinstance(found.get("name"), str))
        require(named, f"{name} is {found!r}; it must be a choice such as {name}=vq_{name}1 (see --help)")
    both = config.get("table") is not None and config.get("figure") is not None
    require(not both, "table= and figure= are both given; it must be one of them at a time")


def check_shape(kind: str, settings: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise `ConfigError` for a setting that is not `known` or of the wrong shape.

    kind: `table` or `figure`, as the message is to name it. What may be null is null or of its shape.
    """
    for name, value in settings.items():
        text = f"{kind}.{name}"
        require(name in known, f"{text} is no setting of a {kind}; it has {', '.join(known)}")
        if name in TEXTS:
            _check_texts(text, value)
        if name in MAPPINGS:
            require(value is None or isinstance(value, dict), f"{text} is {value!r}; it must be a mapping")
        if name in ENTRIES:
            names = value is None or isinstance(value, list)
            require(names, f"{text} is {value!r}; it must be a list of mappings")
            for entry in value or ():
                fits = isinstance(entry, dict) and isinstance(entry.get(ENTRIES[name]), str)
                require(fits, f"{text} has {entry!r}; it must be a mapping with a text `{ENTRIES[name]}`")
                for part in ("overrides", "without", "reported_from"):
                    _check_texts(f"{text}.{part}", entry.get(part))
    if x := settings.get("x"):
        named = isinstance(x.get("name"), str) and isinstance(x.get("overrides"), list)
        require(named, f"{kind}.x is {x!r}; it must have a text `name` and a list `overrides`")
        _check_texts(f"{kind}.x.overrides", x["overrides"])
    for name, column in (settings.get("columns") or {}).items():
        fits = isinstance(column, dict) and isinstance(column.get("metric"), str)
        require(fits, f"{kind}.columns.{name} is {column!r}; it must be a mapping with a text `metric`")
        _check_texts(f"{kind}.columns.{name}.overrides", column.get("overrides"))


def _check_texts(name: str, value: Any) -> None:
    fits = value is None or (isinstance(value, list) and all(isinstance(text, str) for text in value))
    require(fits, f"{name} is {value!r}; it must be a list of texts, such as '{name}=[\"...\"]'")
