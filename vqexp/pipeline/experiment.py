"""One run's components, built and checked against each other before any work starts."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.classifiers import Normalized, load_checkpoint
from vqexp.config import build, resolved
from vqexp.data import Dataset
from vqexp.defenses import Defense
from vqexp.errors import ConfigError, check_number, require
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
    seed: int
    checkpoint: Path | None  # of the classifier

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
    parts = {name: _component(name, plain[name]) for name in GROUPS}
    require(
        isinstance(parts["defense"], nn.Module),
        f"defense._target_={plain['defense']['_target_']} is no torch.nn.Module",
    )
    root = plain["store"]["root"]
    require(root, "store.root is empty; name a writable folder")
    checkpoint = plain["classifier"].get("checkpoint") or "auto"
    trained = checkpoint == "auto" and plain["classifier"].get("weights") is None
    experiment = Experiment(
        config=plain,
        training=_component("training", plain["training"]) if trained else None,
        store=Store(root),
        device=_device(plain["device"]),
        seed=plain["seed"],
        checkpoint=None if checkpoint == "auto" else Path(checkpoint),
        **parts,
    )
    if isinstance(experiment.defense, Defense):
        experiment.defense.check(experiment.dataset.shape)
    experiment.adversary.check(experiment.defense)
    if trained or experiment.checkpoint is not None or plain["classifier"].get("weights") == "zoo":
        experiment.classifier()  # a wrong setting or checkpoint, or weights that are not there, show now
    experiment.dataset.check(("test", "train") if trained else ("test",))
    if check_store:
        experiment.store.check()
    return experiment


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
