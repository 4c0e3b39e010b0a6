"""Finding the records that fill a cell: those with the cell's settings, whatever they were made for.

Everything that a cell sets must agree. f, the images and the runs may differ, and are shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from vqexp.core.components import EXECUTION, NONE, parameters, plain, target_of
from vqexp.core.config import CONF, finite
from vqexp.core.errors import ConfigError
from vqexp.core.keys import key_of
from vqexp.pipeline.record import Record
from vqexp.reports.spec.cell import TUNING, Cell
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.compose import composed
from vqexp.reports.spec.settings import from_overrides, group_of, to_overrides

GROUPS = ("dataset", "defense", "adversary", "attack", "metric", "training")
# what of a dataset is the images
IMAGES = ("_target_", "name", "path", "source", "shape", "num_classes", "resize", "crop", "interpolation")
# what may differ: how many, in which order, and where
FREE = {
    # a surrogate, which is an f of its own; statistics: see `by_batch`
    "adversary": {"classifier", "training", "seed", "statistics"},
    "attack": {"batch_size"},
    "metric": {"runs", "select_runs", "vote", "all"},
    "defense": {"seed"},
}
F = ("classifier", "training", "precision")  # what a cell may say of f, beside the kind of its training
STATISTICS = "classifier.statistics"  # no part of f: see `by_batch`
TOLD = ("dataset", "preset", "scale")  # the groups whose settings count for all rows of an audit
DIGITS = 12


def settings_key(config: Mapping[str, Any]) -> str:
    """Returns a hash of the settings that must agree, from a resolved config.

    A setting that is newer than the record counts as the default of its constructor.
    """
    settings = {group: _settings(group, config[group]) for group in GROUPS}
    if config.get("fine_tuning"):
        settings["fine_tuning"] = _settings("training", config["fine_tuning"])
    return key_of(settings, *by_batch(config))


def by_batch(config: Mapping[str, Any]) -> list[Any]:
    """Returns what must agree where BatchNorm normalizes by the batch, in f or in the adversary's eyes.

    These are both statistics and the number of images in a batch; nothing where both are the running ones.
    """
    judged = config["classifier"].get("statistics") or "running"
    attacked = config["adversary"].get("statistics") or judged
    if judged == attacked == "running":
        return []
    return [judged, attacked, config["attack"]["batch_size"]]


def kind_of_training(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what makes a training another method: its objective's `_target_`, or its own where it has none.

    Where it attacks every batch, also how, and which epoch is kept: papers differ in no more than that.
    """
    objective = settings.get("objective") or settings
    kind = {"kind": str(objective["_target_"])}
    if inner := objective.get("inner"):
        how = {name: _rounded(finite(value)) for name, value in inner.items()}
        return {**kind, **how, "selection": settings.get("selection")}
    return kind


def _settings(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    if group == "training":  # its recipe is f's
        return kind_of_training(settings)
    given = {**defaults_of(group, settings["_target_"]), **settings}
    return {name: _rounded(finite(value)) for name, value in given.items() if _matters(group, name)}


def _matters(group: str, name: str) -> bool:
    return name in IMAGES if group == "dataset" else name not in EXECUTION | FREE.get(group, set())


@cache
def defaults_of(group: str, target: str) -> dict[str, Any]:
    """Returns the constructor's defaults; none if it cannot be imported."""
    try:
        found = parameters(target_of(group, {"_target_": target})) or {}
    except ConfigError:
        return {}
    return {name: plain(default) for name, default in found.items() if default is not NONE}


def _rounded(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(f"{value:.{DIGITS}g}")


class Index:
    """Records, indexed by their settings."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_settings: dict[str, list[Record]] = {}
        for record in records:
            self._by_settings.setdefault(settings_key(record.config), []).append(record)
        self._scales = sorted({record.scale for some in self._by_settings.values() for record in some})
        self.datasets = {
            record.config["dataset"]["name"] for some in self._by_settings.values() for record in some
        }

    def filling(self, cell: Cell, config: Mapping[str, Any] | None = None) -> list[Record]:
        """Returns the records that fill the cell, each compared at its own scale.

        config: the resolved settings of a run of the cell, if the command line adds to them; a record then
        fills the cell if it has these settings, at any scale.
        """
        if config is not None:
            found = self._by_settings.get(settings_key(config), [])
        else:
            found = [
                record
                for scale in self._scales
                for record in self._by_settings.get(cell_key(cell.settings, scale), [])
                if record.scale == scale
            ]
        return [
            record for record in found if cell.metric in record.metrics and says_of_f(cell.settings, record)
        ]


def is_row(settings: Mapping[str, Any], record: Record) -> bool:
    """Whether a record's adversary, attack and metric are those of an audit row with these settings.

    The row is taken at the record's own dataset, preset, scale and defense.
    """
    told = {
        name: value
        for name, value in from_overrides(record.overrides).items()
        if group_of(name) in TOLD and name != "scale"
    }
    defense = {f"defense.{name}": value for name, value in record.config["defense"].items()}
    cell = tuple(to_overrides({**settings, **told, "defense": "own", **defense}))
    return all(
        _settings(group, composed(cell, group, record.scale, _matters))
        == _settings(group, record.config[group])
        for group in ("adversary", "attack", "metric")
    )


def says_of_f(settings: Mapping[str, Any], record: Record) -> bool:
    """Whether the record agrees with what a cell sets of f: classifier, training and precision."""
    cell = tuple(to_overrides(settings))
    for name, wanted in settings.items():
        group = group_of(name)
        if group not in F or name == STATISTICS:
            continue
        own = record.config.get(group, "float32")  # the precision before there was a choice
        if name == "classifier.checkpoint":
            wanted, found = _hash_of(wanted), record.classifier.get("checkpoint") or "auto"
        elif group == "precision":
            found = own
        elif name != group:
            path = name.split(".")[1:]
            found = _at(own, path)
            if "${" in str(wanted):
                wanted = _at(composed(cell, group, record.scale, _matters), path)
        else:
            kind = kind_of_training if group == "training" else itemgetter("_target_")
            wanted = kind(composed(cell, group, record.scale, _matters))
            found = kind(own)
        if _rounded(wanted) != _rounded(found):
            return False
    return True


def _hash_of(checkpoint: str) -> str:
    """The hash by which records name a checkpoint, from its file's name; `auto` and unknown names stay."""
    return _hashes().get(checkpoint.rsplit("/", 1)[-1], checkpoint)


@cache
def _hashes() -> dict[str, str]:
    """Of the checkpoints that tables name, by file name."""
    return read_settings(CONF / "checkpoints.yaml")


def _at(config: Mapping[str, Any], path: Sequence[str]) -> Any:
    for name in path:
        config = config.get(name, {}) if isinstance(config, Mapping) else {}
    return config


def cell_key(settings: Mapping[str, Any], scale: str) -> str:
    """Returns the `settings_key` of a cell with these settings at a scale."""
    return _cell_key(tuple(to_overrides(settings)), scale)


@cache
def _cell_key(cell: tuple[str, ...], scale: str) -> str:
    settings = {group: _settings(group, composed(cell, group, scale, _matters)) for group in GROUPS}
    told = from_overrides(cell)
    if told.get(TUNING):
        tuned = f"training={told[TUNING]}"
        settings["fine_tuning"] = _settings("training", composed((tuned,), "training", scale, _matters))
    config = {group: {"statistics": told.get(f"{group}.statistics")} for group in ("classifier", "adversary")}
    config["attack"] = composed(cell, "attack", scale, _is_batch_size)
    return key_of(settings, *by_batch(config))


def _is_batch_size(group: str, name: str) -> bool:
    return name == "batch_size"
