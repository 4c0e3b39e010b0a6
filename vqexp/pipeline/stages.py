"""The stages of a run. Each is a set of artifacts under keys made of what determines their results.

    dataset -> classifier -> adversarial images -> evaluations, R draws each

Images go through in chunks of `attack.batch_size`, in the dataset's order; a chunk is one artifact, so a
run that is killed loses one chunk at most and several workers share the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from vqexp.config import identity
from vqexp.data import Images
from vqexp.data.split import sha256_of_file
from vqexp.defenses import Draw, NoDefense, call, defend
from vqexp.errors import WorkError
from vqexp.metrics import margin
from vqexp.pipeline.experiment import Experiment, seed_of, seeded
from vqexp.progress import stage
from vqexp.store import Artifact, Job, key_of
from vqexp.training import Standard

EVALUATION_VERSION = 1


@dataclass
class Evaluation:
    """correct bool (runs, n), margin float32 (runs, n)."""

    correct: Tensor
    margin: Tensor


class Stages:
    """The stages of one experiment, computed on demand and at most once."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        # kind -> key -> seconds: the artifacts that this run rests on, and what each took, whenever that was
        self._used: dict[str, dict[str, float]] = {}

    # data

    @cached_property
    def images(self) -> Images:
        """The test images of this run."""
        return self.experiment.dataset.test()

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
        form = {name: self.experiment.config["dataset"].get(name) for name in ("shape", "resize", "crop")}
        fingerprint = dataset.fingerprint("test")
        return [key_of("data", fingerprint, form, self.images.ids[rows].tolist()) for rows in self.chunks]

    # classifier

    @cached_property
    def classifier_identity(self) -> dict[str, Any]:
        """What determines f: its settings with those of its training and data, or with its checkpoint."""
        experiment = self.experiment
        config, dataset = experiment.config, experiment.dataset
        settings: dict[str, Any] = {k: v for k, v in config["classifier"].items() if k != "checkpoint"}
        if experiment.checkpoint is not None:
            return {**settings, "checkpoint": sha256_of_file(experiment.checkpoint)}
        training = experiment.training
        if training is None:
            return settings
        return {
            **settings,
            "training": identity(config["training"], getattr(training, "VERSION", 1)),
            "data": [dataset.train_n, dataset.seed, dataset.fingerprint("train")],
            "defense": self.defense_key if getattr(training, "uses_defense", False) else None,
            "seed": experiment.seed,
        }

    @cached_property
    def classifier_key(self) -> str:
        """Key of f."""
        return key_of("classifier", self.classifier_identity)

    @cached_property
    def classifier(self) -> nn.Module:
        """f, trained or loaded, ready for evaluation on the device."""
        experiment = self.experiment
        classifier = experiment.classifier()
        training = experiment.training
        if training is not None:
            job = Job("classifier", self.classifier_key, lambda: self._train(classifier, training))
            trained = self._fetch(job)
            classifier.load_state_dict(trained.tensors)
        # channels_last is faster for convolutions on every device; the result is the same
        return freeze(classifier).to(experiment.device).to(memory_format=torch.channels_last)

    def _train(self, classifier: nn.Module, training: Standard) -> Artifact:
        experiment = self.experiment
        state = experiment.store.root / "training" / f"{self.classifier_key}.pt"
        classifier.to(experiment.device)
        history = training.fit(
            classifier,
            experiment.dataset.train(),
            seed=experiment.seed,
            device=experiment.device,
            state_path=state,
            logger=experiment.logger,
        )
        return Artifact(dict(classifier.state_dict()), history)

    # adversarial images

    @cached_property
    def defense_key(self) -> str:
        """What of the defense determines its results."""
        return key_of(
            identity(self.experiment.config["defense"], getattr(self.experiment.defense, "VERSION", 1))
        )

    @cached_property
    def adversarial_keys(self) -> list[str]:
        """A key for each chunk. The defense is part of it only if the adversary sees it."""
        experiment = self.experiment
        adversary = identity(experiment.config["adversary"], experiment.adversary.VERSION)
        attack = identity(experiment.config["attack"], experiment.attack.VERSION)
        defense = self.defense_key if experiment.adversary.sees_defense else None
        return [
            key_of(
                "adversarial", attack, adversary, defense, self.classifier_key, data, index, experiment.seed
            )
            for index, data in enumerate(self.data_keys)
        ]

    @cached_property
    def adversarial(self) -> list[Artifact]:
        """What is known of the adversarial images, chunk by chunk; the images lie in the store."""
        experiment = self.experiment
        view = experiment.adversary.view(self.classifier, self._to_device(experiment.defense))

        def attack(index: int) -> Artifact:
            rows = self.chunks[index]
            images = self.images.pixels(rows).to(experiment.device)
            labels = self.images.labels[rows].to(experiment.device)
            seed = seed_of(experiment.seed, experiment.config["attack"]["_target_"], index)
            with seeded(seed):
                found = experiment.attack.run(view, images, labels, seed)
            changed = (found.images != images).flatten(1).any(1)
            with torch.no_grad():
                fooled = (view(found.images).argmax(1) != labels).cpu()
            tensors = {"images": found.images, "perturbed": changed, "fooled": fooled, **found.tensors}
            return Artifact(tensors, found.facts)

        jobs = [Job("adversarial", key, partial(attack, i)) for i, key in enumerate(self.adversarial_keys)]
        parts = self._fetch_chunks(
            "attack", jobs, lambda part: 1 - part.tensors["fooled"].float().mean().item()
        )
        for part in parts:
            del part.tensors["images"]  # read again chunk by chunk: a whole test set may not fit in memory
        return parts

    def adversarial_images(self, index: int) -> Tensor:
        """Adversarial images (n, C, H, W) of one chunk, read from the store once `adversarial` is made."""
        key = self.adversarial_keys[index]
        artifact = self.experiment.store.load("adversarial", key)
        if artifact is None:
            raise WorkError(
                f"{self.experiment.store.path('adversarial', key)} has gone; run the command again"
            )
        return artifact.tensors["images"]

    # evaluation

    def evaluate(self, *, adversarial: bool, defended: bool, purpose: str, runs: int) -> Evaluation:
        """Correctness and margin of every image under `runs` fresh draws of `purpose`."""
        experiment = self.experiment
        defense = self._to_device(experiment.defense) if defended else NoDefense()
        runs = runs if getattr(defense, "random", True) else 1  # all draws of a fixed defense are one
        model = freeze(defend(self.classifier, defense))
        image_keys = self.adversarial_keys if adversarial else self.data_keys
        defense_key = "none" if isinstance(defense, NoDefense) else self.defense_key
        if adversarial:
            assert len(self.adversarial) == len(self.chunks)  # made now, under a progress bar of their own

        def run(index: int) -> Artifact:
            rows, key = self.chunks[index], image_keys[index]
            pixels = self.adversarial_images(index) if adversarial else self.images.pixels(rows)
            return self._judge(model, pixels, rows, purpose, runs, key)

        common = (self.classifier_key, defense_key, purpose, runs, experiment.seed, EVALUATION_VERSION)
        jobs = [
            Job("evaluation", key_of("evaluation", image_key, *common), partial(run, i))
            for i, image_key in enumerate(image_keys)
        ]
        title = f"{'adversarial' if adversarial else 'natural'}, {'defended' if defended else 'undefended'}"
        parts = self._fetch_chunks(
            f"{title}, {purpose}", jobs, lambda part: part.tensors["correct"].float().mean().item()
        )
        correct, margins = (
            torch.cat([part.tensors[name] for part in parts], 1) for name in ("correct", "margin")
        )
        return Evaluation(correct, margins)

    @torch.no_grad()
    def _judge(
        self, model: nn.Module, pixels: Tensor, rows: slice, purpose: str, runs: int, image_key: str
    ) -> Artifact:
        device = self.experiment.device
        images, labels = pixels.to(device), self.images.labels[rows].to(device)
        margins, correct = [], []
        for number in range(runs):
            # a defense that is not ours draws from the global generators
            with seeded(self.experiment.seed, purpose, number, image_key):
                logits = call(model, images, Draw(purpose, number, self.images.ids[rows]))
            margins.append(margin(logits, labels))
            correct.append(logits.argmax(1) == labels)
        return Artifact({"correct": torch.stack(correct), "margin": torch.stack(margins)})

    # common

    def _to_device(self, module: nn.Module) -> nn.Module:
        return freeze(module).to(self.experiment.device)

    def _fetch(self, job: Job) -> Artifact:
        artifact = self.experiment.store.fetch(job)
        self._note(job, artifact)
        return artifact

    def _fetch_chunks(self, title: str, jobs: Sequence[Job], accuracy: Any) -> list[Artifact]:
        """All chunks' artifacts in order, with a progress bar in images and the running accuracy."""
        parts: dict[int, Artifact] = {}
        done, total = 0, 0.0
        with stage(title, len(self.images)) as bar:
            for index, artifact in self.experiment.store.fetch_all(jobs):
                parts[index] = artifact
                self._note(jobs[index], artifact)
                size = self.chunks[index].stop - self.chunks[index].start
                done, total = done + size, total + size * accuracy(artifact)
                bar.advance(size, accuracy=total / done)
        return [parts[index] for index in range(len(jobs))]

    def _note(self, job: Job, artifact: Artifact) -> None:
        self._used.setdefault(job.kind, {})[job.key] = artifact.facts.get("seconds", 0.0)

    @property
    def used(self) -> dict[str, list[str]]:
        """kind -> keys, sorted: workers that share the chunks meet them in different orders."""
        return {kind: sorted(keys) for kind, keys in sorted(self._used.items())}

    @property
    def seconds(self) -> dict[str, float]:
        """kind -> seconds that its artifacts took."""
        return {kind: sum(keys.values()) for kind, keys in sorted(self._used.items())}


def freeze(module: nn.Module) -> nn.Module:
    """Evaluation mode, and no gradients for parameters: attacks need those of images alone."""
    return module.eval().requires_grad_(False)
