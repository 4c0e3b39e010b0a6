"""Which columns of a parquet file hold images and labels: by setting, by name, by Hugging Face's schema."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from vqexp.core.errors import ConfigError, require

# Names that data sets on Hugging Face use. The first is this package's own, and wins where it exists.
NAMES = {"image": ("image", "img"), "label": ("label", "labels", "fine_label", "coarse_label")}
FEATURES = {"image": "Image", "label": "ClassLabel"}  # Hugging Face's types for them


def choose(
    file: str, schema: pa.Schema, columns: Mapping[str, str | None], num_classes: int
) -> tuple[str, str]:
    """The names of the image and the label column of `file`.

    `columns` names "image" and "label" or leaves them to be found. Raises ConfigError if one is absent,
    several could be meant, the type is wrong, or there are Hugging Face's class names but not `num_classes`.
    """
    features = _features(schema)
    image, label = (
        columns.get(role) or _guess(role, file, schema, features, num_classes) for role in ("image", "label")
    )
    for role, name in (("image", image), ("label", label)):
        require(
            name in schema.names,
            f"{file} has no column {name!r}, which dataset.columns.{role} names; {_has(schema)}",
        )
    kind = schema.field(image).type
    encoded = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    require(encoded, f"{file}: column {image} must be a struct with bytes, but is {kind}")
    kind = schema.field(label).type
    require(pa.types.is_integer(kind), f"{file}: column {label} must be of integers, but is {kind}")
    named = _class_names(features, label)
    require(
        named in (None, num_classes),
        f"{file}: column {label} has {named} class names; the data set declares num_classes {num_classes}",
    )
    return image, label


def _guess(role: str, file: str, schema: pa.Schema, features: Mapping[str, Any], num_classes: int) -> str:
    names = NAMES[role]
    if names[0] in schema.names:
        return names[0]
    typed = [name for name in schema.names if _type(features, name) == FEATURES[role]]
    found = [name for name in schema.names if name in names or name in typed]
    if len(found) > 1 and role == "label" and found == typed:
        # all have class names, so that only those with as many as there are classes can be meant
        found = [name for name in found if _class_names(features, name) == num_classes] or found
    if not found:
        raise ConfigError(
            f"{file} has no column {' or '.join(names)}; set dataset.columns.{role}=NAME; {_has(schema)}"
        )
    require(
        len(found) == 1,
        f"{file} has the {role} columns {' and '.join(found)}; set dataset.columns.{role} to one of them",
    )
    return found[0]


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """Hugging Face's description of the columns, {} if there is none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def _type(features: Mapping[str, Any], name: str) -> Any:
    feature = features.get(name)
    return feature.get("_type") if isinstance(feature, dict) else None


def _class_names(features: Mapping[str, Any], name: str) -> int | None:
    """How many class names a column has; None if it is not said."""
    names = features[name].get("names") if _type(features, name) == "ClassLabel" else None
    return len(names) if isinstance(names, list) else None


def _has(schema: pa.Schema) -> str:
    return f"it has {', '.join(schema.names)}"
