"""The key of a record's classifier, and its name for readers."""

from collections.abc import Mapping
from typing import Any

from vqexp.core.keys import key_of
from vqexp.pipeline.record import Record


def classifier_key(record: Record) -> str:
    """Returns a key of the record's classifier; an empty text if the record names none."""
    return key_of(record.classifier) if record.classifier else ""


def classifier_name(record: Record, *others: Record) -> str:
    """Returns `resnet18, checkpoint 0123456789ab` or `resnet18, trained by Standard (epochs 25, ...)`.

    others: records of further trainings of the same kind.
    """
    identity = record.classifier
    name = str(identity["_target_"]).rsplit(".", 1)[-1]
    if identity.get("checkpoint"):
        return f"{name}, checkpoint {identity['checkpoint'][:12]}"
    if identity.get("name"):
        return f"{name}, {identity['name']}"
    if identity.get("weights"):
        return f"{name}, weights {identity['weights']}"
    training = identity["training"]
    recipe = ", ".join(
        f"{key} {_name(training[key])}" for key in ("epochs", "optimizer", "lr", "augment") if key in training
    )
    recipe += f", from checkpoint {training['start'][:12]}" if training.get("start") else ""
    if others:
        recipe += f", {1 + len(others)} trainings"
    else:
        recipe += f", key {key_of('classifier', identity)[:8]}"
    return f"{name}, trained by {_name(training.get('objective') or training)} ({recipe})"


def _name(value: Any) -> str:
    """Returns a setting in a word; a component is called after its class."""
    return str(value["_target_"]).rsplit(".", 1)[-1] if isinstance(value, Mapping) else str(value)
