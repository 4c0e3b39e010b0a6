"""What a run starts from: its images in chunks, and its classifier, trained or loaded."""

from functools import cached_property
from typing import Any

import torch
from torch import nn

from vqexp.classifiers import with_statistics
from vqexp.core.keys import joined, key_of
from vqexp.core.modes import freeze
from vqexp.core.places import local_folder
from vqexp.core.store import Artifact, Job
from vqexp.data import Images
from vqexp.defenses import Defense
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.ledger import Ledger
from vqexp.training import Training

FACTS = ("device", "threads", "selection", "kept_epoch")  # of a training, for the record
FORM = ("_target_", "shape", "resize", "crop", "columns")  # how a dataset's files are read


class Foundation:
    """Images and classifier of one experiment, computed on demand and at most once."""

    def __init__(self, experiment: Experiment, ledger: Ledger | None = None) -> None:
        self.experiment = experiment
        self.ledger = ledger or Ledger(experiment.store)
        self.training_facts: dict[str, Any] | None = None  # where f was trained, if it was

    # data

    @cached_property
    def images(self) -> Images:
        """The test images of this run, or of its shard."""
        found, shard = self.experiment.dataset.test(), self.experiment.shard
        if shard is None:
            return found
        return found.subset(shard.rows(len(found), self.experiment.attack.batch_size))

    @cached_property
    def chunks(self) -> list[slice]:
        """Rows of each chunk."""
        size = self.experiment.attack.batch_size
        return [
            slice(start, min(start + size, len(self.images))) for start in range(0, len(self.images), size)
        ]

    @cached_property
    def data_keys(self) -> list[str]:
        """A key for each chunk of clean images: the file, how it is read, and the rows."""
        dataset = self.experiment.dataset
        form = {name: self.experiment.config["dataset"].get(name) for name in FORM}
        if (
            interpolation := self.experiment.config["dataset"].get("interpolation", "bilinear")
        ) != "bilinear":
            form["interpolation"] = interpolation  # newer than the keys of what was resized bilinearly
        form |= self.experiment.sources.get("dataset", {})
        fingerprint = dataset.fingerprint("test")
        return [key_of("data", fingerprint, form, self.images.ids[rows].tolist()) for rows in self.chunks]

    # classifier

    @cached_property
    def defense(self) -> Defense:
        """The defense, on the device."""
        freeze(self.experiment.defense).to(self.experiment.device)
        return self.experiment.defense

    @cached_property
    def defense_key(self) -> str:
        """What of the defense determines its results."""
        return key_of(self.experiment.identity("defense"))

    @cached_property
    def classifier_identity(self) -> dict[str, Any]:
        """What determines f: its settings with those of its training and data, or with its checkpoint.

        The defense is a part of it exactly where it installs layers in f, or where f is trained behind it.
        """
        experiment = self.experiment
        dataset, installs = experiment.dataset, experiment.defense.installs
        trainings = experiment.trainings.values()
        if not trainings:
            return joined(experiment.origin, {"defense": self.defense_key} if installs else {})
        uses_test = any(training.uses_test for training in trainings)
        uses_defense = any(training.uses_defense for training in trainings)
        found = {
            "data": [dataset.train_n, dataset.seed, dataset.fingerprint("train")],
            **({"test": dataset.fingerprint("test")} if uses_test else {}),
            "defense": self.defense_key if uses_defense or installs else None,
        }
        return joined(experiment.origin, found)

    @cached_property
    def classifier_key(self) -> str:
        """Key of f."""
        return key_of("classifier", self.classifier_identity)

    @cached_property
    def classifier(self) -> nn.Module:
        """f as it is judged."""
        return with_statistics(self.network, self.experiment.statistics[0])

    @cached_property
    def network(self) -> nn.Module:
        """f, trained or loaded, ready for evaluation on the device."""
        experiment = self.experiment
        classifier = experiment.classifier()
        training = experiment.last_training
        if training is not None:
            names = classifier.state_dict().keys()
            job = Job("classifier", self.classifier_key, lambda: self._train(classifier, training), names)
            trained = self.ledger.fetch(job)
            self.training_facts = {name: trained.facts.get(name) for name in FACTS}
            classifier.load_state_dict(trained.tensors)
        # channels_last is faster for convolutions on every device; the result is the same
        return freeze(classifier).to(experiment.device).to(memory_format=torch.channels_last)

    @cached_property
    def untuned(self) -> "Foundation":
        """The foundation whose f the fine-tuning starts from; its artifacts are not this run's own."""
        return Foundation(self.experiment.untuned)

    def _train(self, classifier: nn.Module, training: Training) -> Artifact:
        experiment = self.experiment
        state = local_folder(experiment.store.root) / "training" / f"{self.classifier_key}.pt"
        classifier.to(experiment.device)
        if experiment.fine_tuning is not None:
            classifier.load_state_dict(self.untuned.network.state_dict())
        looks_on = {"test": experiment.dataset.load("test")} if training.uses_test else {}
        history = training.behind(self.defense).fit(
            classifier,
            experiment.dataset.train(),
            seed=experiment.seed,
            device=experiment.device,
            state_path=state,
            logger=experiment.logger,
            **looks_on,
        )
        # sums of many threads are rounded in another order: where f was trained is part of what it is
        where = {"device": experiment.device.type, "threads": torch.get_num_threads()}
        return Artifact(dict(classifier.state_dict()), {**history, **where})

    @cached_property
    def seen(self) -> "Foundation":
        """The foundation whose classifier the adversary sees: this one, or its surrogate's."""
        surrogate = self.experiment.surrogate
        return self if surrogate is None else Foundation(surrogate, self.ledger)

    @cached_property
    def attacked_classifier(self) -> nn.Module:
        """What stands for f in the adversary's eyes."""
        return with_statistics(self.seen.network, self.experiment.statistics[1])
