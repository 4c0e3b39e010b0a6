"""One run's components, built and checked against each other before any work starts."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.classifiers import PRECISIONS, Normalized, load_checkpoint
from vqexp.config import EXECUTION, build, identity, resolved, target_of
from vqexp.data import Dataset
from vqexp.data.split import sha256_of_file
from vqexp.defenses import Defense
from vqexp.errors import ConfigError, SenselessError, check_number, one_of, require
from vqexp.loggers import Logger
from vqexp.metrics import Metric
from vqexp.store import Store, key_of
from vqexp.training import Standard

GROUPS = ("dataset", "defense", "adversary", "attack", "metric", "logger")


@dataclass
class Experiment:
    """Everything a run needs. `config` is plain data, fully resolved."""

    config: dict[str, Any]
    dataset: Dataset
    training: Standard | None  # None: f comes from a checkpoint, or ready from its library
    defense: nn.Module
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

    @property
    def origin(self) -> dict[str, Any]:
        """What of the settings determines f: its own, with its training's and the seed or its checkpoint."""
        skipped = {"checkpoint", *EXECUTION}
        settings = {name: value for name, value in self.config["classifier"].items() if name not in skipped}
        if self.checkpoint is not None:
            return {**settings, "checkpoint": sha256_of_file(self.checkpoint)}
        if self.training is None:
            return settings
        training = identity(self.config["training"], getattr(self.training, "VERSION", 1))
        training |= {name: sha256_of_file(path) for name, path in self.training.files.items()}
        return {**settings, "training": training, "seed": self.seed}

    def classifier(self) -> nn.Module:
        """A freshly initialized f, the same for the same seed; with pretrained weights where set."""
        settings = dict(self.config["classifier"])
        mean, std = settings.pop("mean", None), settings.pop("std", None)
        settings.pop("checkpoint")
        with seeded(self.seed):
            classifier = build("classifier", settings)
        if self.checkpoint is not None:
            load_checkpoint(classifier, self.checkpoint)
        return classifier if mean is None and std is None else Normalized(classifier, mean, std)


def prepare(config: DictConfig, check_store: bool = True) -> Experiment:
    """Build and check all components; nothing is computed, and nothing written but, at last, the store.

    Raises `ConfigError` with one line that says what is wrong and what is allowed.
    """
    plain = resolved(config)
    check_number("seed", plain["seed"], low=0, high=2**31 - 1, integer=True)
    one_of("precision", plain["precision"], PRECISIONS)
    parts = {name: _component(name, plain[name]) for name in GROUPS}
    require(
        isinstance(parts["defense"], nn.Module),
        f"defense._target_={plain['defense']['_target_']} is no torch.nn.Module",
    )
    root = plain["store"]["root"]
    require(root, "store.root is empty; name a writable folder")
    experiment = Experiment(
        config=plain,
        store=Store(root),
        device=_device(plain["device"]),
        precision=plain["precision"],
        seed=plain["seed"],
        **_source(plain),
        **parts,
    )
    if isinstance(experiment.defense, Defense):
        experiment.defense.check(experiment.dataset.shape)
    experiment.adversary.check(experiment.defense)
    experiment.attack.check(experiment.adversary, experiment.defense)
    experiment.metric.check(experiment)
    _check_gradient(experiment)
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
    """How the classifier comes to be: by `training`, or from a `checkpoint`, or, with neither, ready."""
    checkpoint = config["classifier"].get("checkpoint") or "auto"
    trained = checkpoint == "auto" and config["classifier"].get("weights") is None
    return {
        "training": _component("training", config["training"]) if trained else None,
        "checkpoint": None if checkpoint == "auto" else Path(checkpoint),
    }


def _surrogate(experiment: Experiment) -> Experiment | None:
    """The experiment with the adversary's surrogate in f's place; None if the adversary has none."""
    settings = experiment.adversary.surrogate
    if settings is None:
        return None
    config, seed = dict(experiment.config), settings["seed"]
    for name in ("classifier", "training"):
        changes = settings[name]
        config[name] = dict(changes) if "_target_" in changes else {**config[name], **changes}
    try:
        surrogate = replace(experiment, config={**config, "seed": seed}, seed=seed, **_source(config))
        _check_classifier(surrogate)
    except ConfigError as error:
        raise type(error)(f"the adversary's surrogate: {error}") from None
    if not experiment.adversary.sees_defense and surrogate.origin == experiment.origin:
        raise SenselessError(
            "the surrogate is f itself, which adversary=oblivious attacks; give it another adversary.seed, "
            "adversary.classifier or adversary.training"
        )
    return surrogate


def _check_training(experiment: Experiment) -> None:
    """Refuse an f that comes ready where the training is tied to the defense: the f would win, unnoticed."""
    target = target_of("training", experiment.config["training"])
    if experiment.training is None and getattr(target, "uses_defense", False):
        raise SenselessError(
            f"training._target_={target.__name__} fits f to the defense, but f comes ready, from "
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


def _component(name: str, settings: dict[str, Any]) -> Any:
    """A group's object. A target of the user's own takes of the settings what it knows."""
    own = not str(settings.get("_target_", "")).startswith("vqexp.")
    if own and name == "defense":
        sys.path.insert(0, str(Path.cwd()))
    return build(name, settings, ignore=own or name == "dataset")


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


@contextmanager
def seeded(*parts: Any) -> Iterator[None]:
    """All global random number generators start from a seed made of `parts`, and are restored after."""
    seed, before = seed_of(*parts), (random.getstate(), np.random.get_state())
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def seed_of(*parts: Any) -> int:
    """A 31-bit seed derived from plain data, such as (seed, attack, chunk)."""
    return int(key_of(*parts)[:8], 16) >> 1
