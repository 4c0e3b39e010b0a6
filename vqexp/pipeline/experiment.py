"""One run's components, built and checked against each other before any work starts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.classifiers import PRECISIONS, Normalized, load_checkpoint
from vqexp.core.components import EXECUTION, component, nested, target_of
from vqexp.core.config import resolved
from vqexp.core.errors import ConfigError, SenselessError, check_number, one_of, require
from vqexp.core.files import sha256_of_file
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.keys import seed_of
from vqexp.core.sources import source_of
from vqexp.core.store import Store
from vqexp.data import Dataset
from vqexp.defenses import Defense, NoDefense, adapted
from vqexp.loggers import Logger
from vqexp.pipeline.metric import Metric
from vqexp.pipeline.parts import NETWORK, group_component, network
from vqexp.training import Training

GROUPS = ("dataset", "defense", "adversary", "attack", "metric", "logger")


@dataclass
class Experiment:
    """Everything a run needs.

    config: plain data, fully resolved; each group's has the arguments that its component got. sources: what
    tells the code of components apart that are not ours, by group.
    """

    config: dict[str, Any]
    sources: dict[str, dict[str, Any]]
    dataset: Dataset
    training: Training | None  # None: f comes from a checkpoint, or ready from its library
    defense: Defense
    adversary: Adversary
    attack: Attack
    metric: Metric
    logger: Logger
    store: Store
    device: torch.device
    precision: str  # of f in the eyes of the attack
    seed: int
    checkpoint: Path | None  # of the classifier
    surrogate: "Experiment | None" = None  # the same, with what the adversary attacks in place of f
    further: dict[str, Metric] = field(default_factory=dict)  # metrics beside the first

    def identity(self, group: str) -> dict[str, Any]:
        """What of a group determines its results: its arguments, its version and its source. For keys."""
        settings = {name: value for name, value in self.config[group].items() if name not in EXECUTION}
        version = getattr(getattr(self, group), "VERSION", 1)
        return {**settings, "version": version, **self.sources.get(group, {})}

    @property
    def versions(self) -> dict[str, int]:
        """The components' own versions, by group: for the record."""
        parts = {name: getattr(self, name) for name in ("training", *GROUPS) if name != "logger"}
        parts |= {f"metrics.{name}": metric for name, metric in self.further.items()}
        return {name: getattr(part, "VERSION", 1) for name, part in parts.items() if part is not None}

    @property
    def origin(self) -> dict[str, Any]:
        """What determines f: the network's settings, and its training's with the seed, or a checkpoint."""
        skipped = {"checkpoint", *EXECUTION}
        settings = {name: value for name, value in self.config["classifier"].items() if name not in skipped}
        settings |= self.sources.get("classifier", {})
        if self.checkpoint is not None:
            return {**settings, "checkpoint": sha256_of_file(self.checkpoint)}
        if self.training is None:
            return settings
        training = self.identity("training")
        training |= {name: sha256_of_file(path) for name, path in self.training.files.items()}
        return {**settings, "training": training, "seed": self.seed}

    def classifier(self) -> nn.Module:
        """A freshly initialized f, the same for the same seed; with pretrained weights where set."""
        settings = self.config["classifier"]
        mean, std = settings["mean"], settings["std"]
        with generators_kept():
            seed_generators(seed_of(self.seed))
            classifier = self.defense.install(network(self.config).make())
        if mean is not None or std is not None:
            classifier = Normalized(classifier, mean, std)
        if self.checkpoint is not None:
            load_checkpoint(classifier, self.checkpoint)
        return classifier


def prepare(config: DictConfig, check_store: bool = True) -> Experiment:
    """Build and check all components; nothing is computed, and nothing written but, at last, the store.

    Raises `ConfigError` with one line that says what is wrong and what is allowed.
    """
    plain = resolved(config)
    check_number("seed", plain["seed"], low=0, high=2**31 - 1, integer=True)
    one_of("precision", plain["precision"], PRECISIONS)
    root = plain["store"]["root"]
    require(root, "store.root is empty; name a writable folder")
    components = {name: group_component(name, plain) for name in GROUPS}
    plain |= {name: part.settings for name, part in components.items()}
    parts = {name: part.make() for name, part in components.items()}
    require(
        isinstance(parts["defense"], nn.Module),
        f"defense._target_={plain['defense']['_target_']} is no torch.nn.Module",
    )
    parts["defense"] = adapted(parts["defense"])
    source = _source(plain)
    experiment = Experiment(
        config=plain,
        sources={name: found for name, part in components.items() if (found := source_of(part))},
        store=Store(root),
        device=_device(plain["device"]),
        precision=plain["precision"],
        seed=plain["seed"],
        **source,
        **parts,
    )
    experiment.sources |= _sources_of_f(experiment)
    experiment.further = _further_metrics(experiment)
    experiment.defense.check(experiment.dataset.shape)
    experiment.adversary.check(experiment.defense)
    experiment.attack.check(experiment.adversary, experiment.defense, experiment.dataset.num_classes)
    for metric in (experiment.metric, *experiment.further.values()):
        metric.check(experiment)
    _check_gradient(experiment)
    _check_radius(experiment)
    experiment.dataset.check(("test",))  # first, so that tables leave out data that is not here
    _check_training(experiment)
    _check_classifier(experiment)
    experiment.surrogate = _surrogate(experiment)
    if any(part and part.training for part in (experiment, experiment.surrogate)):
        experiment.dataset.check(("train",))
    if check_store:
        experiment.store.check()
    return experiment


def _source(config: dict[str, Any]) -> dict[str, Any]:
    """How the classifier comes to be: by `training`, or from a `checkpoint`, or, with neither, ready.

    Completes the settings of both in `config`.
    """
    around = {name: config["classifier"].get(name) for name in NETWORK}
    config["classifier"] = {**network(config).settings, **around}
    checkpoint = config["classifier"]["checkpoint"] or "auto"
    trained = checkpoint == "auto" and config["classifier"].get("weights") is None
    training = None
    if trained:
        part = group_component("training", config)
        config["training"], training = part.settings, part.make()
    return {"training": training, "checkpoint": None if checkpoint == "auto" else Path(checkpoint)}


def _sources_of_f(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """The sources of classifier and training, where they are not ours."""
    parts = [network(experiment.config)]
    if experiment.training is not None:
        parts.append(group_component("training", experiment.config))
    return {part.group: found for part in parts if (found := source_of(part))}


def _further_metrics(experiment: Experiment) -> dict[str, Metric]:
    """The metrics of `metrics`; completes their settings and adds the sources of those that are not ours."""
    chosen = experiment.config.get("metrics") or {}
    components = {name: component(f"metrics.{name}", settings) for name, settings in chosen.items()}
    experiment.config["metrics"] = {name: part.settings for name, part in components.items()}
    experiment.sources |= {part.group: found for part in components.values() if (found := source_of(part))}
    return {name: part.make() for name, part in components.items()}


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
        source = _source(config)
        if experiment.defense.installs and not experiment.adversary.sees_defense:
            source["defense"] = NoDefense()
        surrogate = replace(experiment, config={**config, "seed": seed}, seed=seed, **source)
        surrogate.sources = {**experiment.sources, "classifier": {}, "training": {}} | _sources_of_f(
            surrogate
        )
        _check_classifier(surrogate)
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


def _check_training(experiment: Experiment) -> None:
    """Refuse an f that comes ready where the training is tied to the defense: the f would win, unnoticed."""
    settings = experiment.config["training"]
    factory = target_of("training", settings)
    targets = [factory, *(target_of("training", settings[name]) for name in nested(factory, settings))]
    tied = [target for target in targets if getattr(target, "uses_defense", False) is True]
    if experiment.training is None and tied:
        raise SenselessError(
            f"training by {tied[0].__name__} fits f to the defense, but f comes ready, from "
            "classifier.checkpoint or classifier.weights; choose training=standard, or leave both out and "
            "start from a checkpoint with training.start=FILE"
        )


def _check_classifier(experiment: Experiment) -> None:
    """Build it once: a wrong setting or checkpoint, or weights that are not there, show now.

    Not so what torchvision brings ready, which it may have to download.
    """
    ready = experiment.config["classifier"].get("weights") not in (None, "zoo")
    if not ready or experiment.checkpoint is not None:
        classifier = experiment.classifier()
        if experiment.training is not None:
            experiment.training.behind(experiment.defense).initialize(classifier)


def _check_gradient(experiment: Experiment) -> None:
    if experiment.attack.needs_gradient and not experiment.adversary.differentiable:
        attack, adversary = (
            type(part).__name__.lower() for part in (experiment.attack, experiment.adversary)
        )
        raise SenselessError(
            f"attack={attack} follows a gradient, and adversary={adversary} has none; choose attack=square"
        )


def _check_radius(experiment: Experiment) -> None:
    """Refuse a radius that is larger than the box [0, 1] is wide: it is meant in other pixels."""
    attack = experiment.attack
    norm, eps = getattr(attack, "norm", "linf"), getattr(attack, "eps", 0.0)
    most = math.sqrt(math.prod(experiment.dataset.shape)) if norm == "l2" else 1.0
    require(
        eps <= most,
        f"attack.eps is {eps:g}; it must be at most {most:.4g}, the {norm} width of [0, 1] images; "
        f"did you mean attack.eps={eps:g}/255, that is, attack.eps='${{div:{eps:g},255}}'?",
    )


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
