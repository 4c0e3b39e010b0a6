"""From a config to an experiment: all components built and checked before any work starts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from vqexp.classifiers import PRECISIONS, STATISTICS
from vqexp.core.components import component, is_ours
from vqexp.core.config import resolved
from vqexp.core.errors import ConfigError, SenselessError, check_number, one_of, require
from vqexp.core.kinds import check_made
from vqexp.core.required import check_required
from vqexp.core.sources import source_of
from vqexp.core.store import Store
from vqexp.defenses import NoDefense, adapted
from vqexp.pipeline.check import check, check_classifier, comes_ready
from vqexp.pipeline.experiment import GROUPS, Experiment
from vqexp.pipeline.metric import Metric
from vqexp.pipeline.parts import KINDS, NETWORK, group_component, network
from vqexp.pipeline.ready import own_weights
from vqexp.pipeline.shard import Shard
from vqexp.pipeline.statistics import check_statistics
from vqexp.training import Training

OF_F = ("classifier", "training", "fine_tuning")  # what of a config f is made of


def prepare(config: DictConfig, check_store: bool = True) -> Experiment:
    """Build and check all components; nothing is computed, and nothing written but, at last, the store.

    Raises `ConfigError` with one line that says what is wrong and what is allowed.
    """
    plain = resolved(config)
    check_required(plain)
    check_number("seed", plain["seed"], low=0, high=2**31 - 1, integer=True)
    one_of("precision", plain["precision"], PRECISIONS)
    components = {name: group_component(name, plain) for name in GROUPS}
    plain |= {name: part.settings for name, part in components.items()}
    parts = {name: part.make() for name, part in components.items()}
    for name, part in parts.items():  # of a function of the user's own it is known only now
        check_made(name, part, KINDS[name])
    parts["defense"] = adapted(parts["defense"])
    source = {**_source(plain), "fine_tuning": _fine_tuning(plain)}
    experiment = Experiment(
        config=plain,
        sources={name: found for name, part in components.items() if (found := source_of(part))},
        store=Store(plain["store"]["root"]),
        device=_device(plain["device"]),
        precision=plain["precision"],
        compile=plain["compile"],
        seed=plain["seed"],
        shard=Shard.of(plain.get("shard")),
        **source,
        **parts,
    )
    experiment.sources |= _sources_of_f(experiment)
    experiment.further = _further_metrics(experiment)
    check(experiment)
    experiment.surrogate = _surrogate(experiment)
    check_statistics(experiment)
    if any(part and part.trainings for part in (experiment, experiment.surrogate)):
        experiment.dataset.check(("train",))
    if check_store:
        experiment.store.check()
    return experiment


def _source(config: dict[str, Any]) -> dict[str, Any]:
    """How the classifier comes to be: by `training`, or from a `checkpoint`, or, with neither, ready.

    Completes the settings of both in `config`.
    """
    around = {name: config["classifier"].get(name) for name in NETWORK}
    around["statistics"] = around["statistics"] or "running"  # an older config has none
    one_of("classifier.statistics", around["statistics"], STATISTICS)
    part = network(config)
    config["classifier"] = {**part.settings, **around}
    checkpoint = config["classifier"].get("checkpoint") or "auto"
    require(
        isinstance(checkpoint, str), f"classifier.checkpoint is {checkpoint!r}; it must be a path, or null"
    )
    trained = checkpoint == "auto" and not comes_ready(config["classifier"])
    if trained and not is_ours(part.settings["_target_"]) and not config["training"].get("start"):
        trained = own_weights(part) is None
    training = None
    if trained:
        part = group_component("training", config)
        config["training"], training = part.settings, part.make()
        check_made("training", training, KINDS["training"])
    return {"training": training, "checkpoint": None if checkpoint == "auto" else Path(checkpoint)}


def _fine_tuning(config: dict[str, Any]) -> Training | None:
    """The training that f goes through at last, if any; completes its settings in `config`."""
    if config.get("fine_tuning") is None:
        config.pop("fine_tuning", None)
        return None
    part = group_component("training", config, at="fine_tuning")
    try:
        training = part.make()
    except ConfigError as error:
        raise type(error)(f"fine_tuning: {error}") from None
    check_made("fine_tuning", training, KINDS["training"])
    require("start" not in training.files, "fine_tuning.start is set; it starts from the run's own f")
    config["fine_tuning"] = part.settings
    return training


def _sources_of_f(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """The sources of classifier and training, where they are not ours."""
    parts = [network(experiment.config)]
    parts += [group_component("training", experiment.config, at=name) for name in experiment.trainings]
    sources = {part.group: found for part in parts if (found := source_of(part))}
    as_it_comes = experiment.training is None and experiment.checkpoint is None
    if as_it_comes and "classifier" in sources and not comes_ready(experiment.config["classifier"]):
        sources["classifier"]["weights"] = own_weights(parts[0])
    return sources


def _further_metrics(experiment: Experiment) -> dict[str, Metric]:
    """The metrics of `metrics`; completes their settings and adds the sources of those that are not ours."""
    chosen = experiment.config.get("metrics") or {}
    components = {
        name: component(f"metrics.{name}", settings, kinds=(Metric,)) for name, settings in chosen.items()
    }
    experiment.config["metrics"] = {name: part.settings for name, part in components.items()}
    experiment.sources |= {part.group: found for part in components.values() if (found := source_of(part))}
    found = {name: part.make() for name, part in components.items()}
    for name, metric in found.items():
        check_made(f"metrics.{name}", metric, Metric)
    return found


def _surrogate(experiment: Experiment) -> Experiment | None:
    """The experiment with the adversary's surrogate in f's place; None if the adversary has none."""
    settings = experiment.adversary.surrogate
    if settings is None:
        return None
    config, seed = dict(experiment.config), settings["seed"]
    for name in ("classifier", "training"):
        changes = settings[name]
        config[name] = _changed(config[name], changes)
    try:
        config.pop("fine_tuning", None)  # f's own
        source = {**_source(config), "fine_tuning": None}
        if experiment.defense.installs and not experiment.adversary.sees_defense:
            source["defense"] = NoDefense()
        surrogate = replace(experiment, config={**config, "seed": seed}, seed=seed, **source)
        others = {name: found for name, found in experiment.sources.items() if name not in OF_F}
        surrogate.sources = {**others, **_sources_of_f(surrogate)}
        check_classifier(surrogate)
    except ConfigError as error:
        raise type(error)(f"the adversary's surrogate: {error}") from None
    if not experiment.adversary.sees_defense and surrogate.origin == experiment.origin:
        raise SenselessError(
            "the surrogate is f itself, which adversary=oblivious attacks; give it another adversary.seed, "
            "adversary.classifier or adversary.training"
        )
    return surrogate


def _changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes, nested ones too; changes with a `_target_` stand for themselves."""
    if "_target_" in changes:
        return dict(changes)
    both = {name for name in changes if isinstance(changes[name], Mapping)}
    both &= {name for name in settings if isinstance(settings[name], Mapping)}
    return {**settings, **changes, **{name: _changed(settings[name], changes[name]) for name in both}}


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device is {name!r}; it must be auto, cpu, cuda or cuda:N") from None
    available = device.type == "cpu" or (
        device.type == "cuda"
        and torch.cuda.is_available()
        and (device.index or 0) < torch.cuda.device_count()
    )
    require(available, f"device={name} is not available here; there is cpu" + _gpus())
    return device


def _gpus() -> str:
    return "".join(f", cuda:{index}" for index in range(torch.cuda.device_count()))
