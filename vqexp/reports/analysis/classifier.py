"""The key of a record's classifier, and its name for readers."""

from collections.abc import Iterable, Mapping
from typing import Any

from vqexp.core.keys import key_of
from vqexp.pipeline.record import Record

RECIPE = ("epochs", "optimizer", "lr", "augment")  # the settings of a training that its name tells


def classifier_key(record: Record) -> str:
    """Returns a key of the record's classifier; an empty text if the record names none."""
    return key_of(record.classifier) if record.classifier else ""


def is_trained(record: Record) -> bool:
    """Whether f was trained for the record, and is no checkpoint or network with weights that was given."""
    return "training" in record.classifier


def classifier_name(record: Record, *others: Record) -> str:
    """Returns `resnet18, checkpoint 0123456789ab` or `resnet18, trained by Standard (epochs 25, ...)`.

    others: records of further trainings of the same kind.
    """
    return _told(record.classifier, _number(record.classifier, *others))


def classifier_names(records: Iterable[Record]) -> tuple[str, ...]:
    """Returns the names of all classifiers; those that differ in their training's key alone share one."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        found.setdefault(_told(record.classifier, ""), {})[classifier_key(record)] = record
    return tuple(classifier_name(*alike.values()) for alike in found.values())


def _told(identity: Mapping[str, Any], number: str) -> str:
    """Returns the name. number: what it says last of a training."""
    name = str(identity["_target_"]).rsplit(".", 1)[-1]
    tuning = identity.get("fine_tuning")
    tuned = f", fine-tuned by {_recipe(tuning, number)}" if tuning else ""
    if identity.get("checkpoint"):
        return f"{name}, checkpoint {identity['checkpoint'][:12]}{tuned}"
    if identity.get("name"):
        return f"{name}, {identity['name']}{tuned}"
    if identity.get("weights"):
        return f"{name}, weights {identity['weights']}{tuned}"
    return f"{name}, trained by {_recipe(identity['training'], '' if tuning else number)}{tuned}"


def _recipe(training: Mapping[str, Any], number: str) -> str:
    """Returns `Standard (epochs 25, ..., key 01234567)`. number: what comes last."""
    told = [f"{key} {_name(training[key])}" for key in RECIPE if key in training]
    told += [f"from checkpoint {training['start'][:12]}"] if training.get("start") else []
    told += [number] if number else []
    return f"{_name(training.get('objective') or training)} ({', '.join(told)})"


def _number(identity: Mapping[str, Any], *others: Record) -> str:
    """Returns how many trainings there are; the key of a single one."""
    return f"{1 + len(others)} trainings" if others else f"key {key_of('classifier', identity)[:8]}"


def _name(value: Any) -> str:
    """Returns a setting in a word; a component is called after its class."""
    return str(value["_target_"]).rsplit(".", 1)[-1] if isinstance(value, Mapping) else str(value)
