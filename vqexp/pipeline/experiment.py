"""One run's components, and what of their settings determines its results."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.classifiers import load_checkpoint, normalized
from vqexp.core.components import EXECUTION
from vqexp.core.files import sha256_of_file
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.keys import joined, seed_of
from vqexp.core.store import Store
from vqexp.data import Dataset
from vqexp.defenses import Defense
from vqexp.loggers import Logger
from vqexp.pipeline.metric import Metric
from vqexp.pipeline.parts import network
from vqexp.pipeline.shard import Shard
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
    fine_tuning: Training | None  # a further one, wherever f comes from
    defense: Defense
    adversary: Adversary
    attack: Attack
    metric: Metric
    logger: Logger
    store: Store
    device: torch.device
    precision: str  # of f in the eyes of the attack
    compile: bool  # likewise
    seed: int
    checkpoint: Path | None  # of the classifier
    shard: Shard | None = None  # the share of the images that this run does; None: all
    surrogate: "Experiment | None" = None  # the same, with what the adversary attacks in place of f
    further: dict[str, Metric] = field(default_factory=dict)  # metrics beside the first

    def identity(self, group: str, without: Collection[str] = ()) -> dict[str, Any]:
        """What of a group determines its results: its arguments, its version and its source. For keys.

        without: arguments that are told elsewhere.
        """
        skipped = {*EXECUTION, *without}
        settings = {name: value for name, value in self.config[group].items() if name not in skipped}
        version = getattr(getattr(self, group), "VERSION", 1)
        return joined(settings, {"version": version, **self.sources.get(group, {})})

    @property
    def statistics(self) -> tuple[str, str]:
        """Those by which BatchNorm normalizes in f as it is judged, and in what the adversary attacks."""
        judged = self.config["classifier"]["statistics"]
        return judged, self.adversary.statistics or judged

    @property
    def versions(self) -> dict[str, int]:
        """The components' own versions, by group: for the record."""
        groups = ("training", "fine_tuning", *GROUPS)
        parts = {name: getattr(self, name) for name in groups if name != "logger"}
        parts |= {f"metrics.{name}": metric for name, metric in self.further.items()}
        return {name: getattr(part, "VERSION", 1) for name, part in parts.items() if part is not None}

    @property
    def trainings(self) -> dict[str, Training]:
        """Those that f goes through here, in their order, by where the config has them."""
        both = {"training": self.training, "fine_tuning": self.fine_tuning}
        return {name: training for name, training in both.items() if training is not None}

    @property
    def last_training(self) -> Training | None:
        """The one that makes f what is judged; None if f comes ready."""
        return self.fine_tuning or self.training

    @property
    def untuned(self) -> "Experiment":
        """The same without the fine-tuning: its f is where that starts from."""
        config = {name: value for name, value in self.config.items() if name != "fine_tuning"}
        return replace(self, fine_tuning=None, config=config)

    @property
    def origin(self) -> dict[str, Any]:
        """What determines f: the network's settings, its trainings' with the seed, a checkpoint."""
        skipped = {"checkpoint", "statistics", *EXECUTION}
        settings = {name: value for name, value in self.config["classifier"].items() if name not in skipped}
        found = dict(self.sources.get("classifier", {}))
        if self.checkpoint is not None:
            found["checkpoint"] = sha256_of_file(self.checkpoint)
        for name, training in self.trainings.items():
            files = {of: sha256_of_file(path) for of, path in training.files.items()}
            found |= {name: {**self.identity(name, without=files), **files}, "seed": self.seed}
        return joined(settings, found)

    def classifier(self) -> nn.Module:
        """A freshly initialized f, the same for the same seed; with pretrained weights where set."""
        settings = self.config["classifier"]
        with generators_kept():
            seed_generators(seed_of(self.seed))
            classifier = self.defense.install(network(self.config).make())
        channels = self.dataset.shape[0]
        classifier = normalized(classifier, settings["mean"], settings["std"], channels)
        if self.checkpoint is not None:
            load_checkpoint(classifier, self.checkpoint)
        return classifier
