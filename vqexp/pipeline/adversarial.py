"""The stages up to the adversarial images: the adversary's view, the attack on it, chunk by chunk."""

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from vqexp.adversaries.view import View, view_of
from vqexp.attacks.losses import ce
from vqexp.classifiers import computed
from vqexp.core.errors import WorkError
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.halving import Halving
from vqexp.core.keys import key_of, seed_of
from vqexp.core.modes import evaluating, freeze
from vqexp.core.reductions import outcomes
from vqexp.core.sampling import Sampler
from vqexp.core.store import Artifact, Job
from vqexp.defenses import ForeignModel
from vqexp.pipeline.foundation import Foundation


def told(statistics: str) -> list[str]:
    """What a key says of BatchNorm's statistics: nothing of `running` ones, as before there was a choice."""
    return [] if statistics == "running" else [f"{statistics} statistics"]


class AdversarialStages(Foundation):
    """What the adversary sees and makes of the images, and the draws by which it is judged."""

    # adversary

    @cached_property
    def view(self) -> View:
        """What the attack sees."""
        experiment = self.experiment
        classifier = computed(self.attacked_classifier, experiment.precision, experiment.compile)
        return freeze(view_of(experiment.adversary.view(classifier, self.defense)))

    @cached_property
    def view_key(self) -> str:
        """Key of the view. The defense is part of it only if the adversary sees it, f likewise."""
        experiment = self.experiment
        # statistics are told below, where they are the batch's; of the surrogate its own key tells
        elsewhere = ("statistics", *(experiment.adversary.surrogate or ()))
        adversary = experiment.identity("adversary", without=elsewhere)
        defense = self.defense_key if experiment.adversary.sees_defense else None
        changed = [] if experiment.precision == "float32" else [experiment.precision]
        changed += told(experiment.statistics[1])
        return key_of("view", adversary, defense, self.seen.classifier_key, *changed)

    # adversarial images

    @property
    def attacked(self) -> bool:
        """There are adversarial images."""
        return self.experiment.attack.perturbs

    @cached_property
    def adversarial_keys(self) -> list[str]:
        """A key for each chunk."""
        experiment = self.experiment
        attack = experiment.identity("attack")
        return [
            key_of("adversarial", attack, self.view_key, data, experiment.seed) for data in self.data_keys
        ]

    @cached_property
    def adversarial(self) -> list[Artifact]:
        """What is known of the adversarial images, chunk by chunk; the images lie in the store."""
        if self.seen is not self:
            self.seen.network  # noqa: B018  # the record rests on a surrogate, whoever attacked it
        jobs = [
            Job("adversarial", key, partial(self._attack, i), ("images", "perturbed", "fooled"))
            for i, key in enumerate(self.adversarial_keys)
        ]
        return self.ledger.fetch_chunks(
            "attack",
            jobs,
            self.chunks,
            accuracy=lambda part: 1 - part.tensors["fooled"].float().mean().item(),
            leave="images",  # read again chunk by chunk: a whole test set may not fit in memory
        )

    @property
    def adversarial_facts(self) -> list[dict[str, Any]]:
        """What the attack said, chunk by chunk; nothing if no stage asked for adversarial images."""
        return [part.facts for part in self.adversarial] if "adversarial" in self.__dict__ else []

    def _attack(self, index: int) -> Artifact:
        chunk = self.chunks[index]

        def some(rows: slice) -> Artifact:
            return self._attack_on(slice(chunk.start + rows.start, chunk.start + rows.stop))

        return self.halving.over("attack", chunk.stop - chunk.start, some, _joined, self.depends_on_batch)

    def _attack_on(self, rows: slice) -> Artifact:
        experiment = self.experiment
        images, ids = self.images.pixels(rows).to(experiment.device), self.images.ids[rows]
        labels = self.images.labels[rows].to(experiment.device)
        seed = seed_of(experiment.seed, experiment.config["attack"]["_target_"])
        if experiment.surrogate is not None:
            self._check_surrogate(images, labels)
        with generators_kept():
            seed_generators(seed_of(seed, ids.tolist()))  # an attack that is not ours may draw from them
            found = experiment.attack.run(self.view, images, labels, seed, ids)
            if found.candidates is not None:
                found.images = self._best(found.candidates, labels, ids)
            if "fooled" not in found.tensors:
                with torch.no_grad():
                    found.tensors["fooled"] = self.view(found.images).argmax(1) != labels
        changed = (found.images != images).flatten(1).any(1)
        return Artifact({"images": found.images, "perturbed": changed, **found.tensors}, found.facts)

    def _check_surrogate(self, images: Tensor, labels: Tensor) -> None:
        """Raise `WorkError` for one that nothing can be attacked through: its gradient is zero everywhere."""
        with evaluating(self.view):
            gradient, _ = self.view.gradient(images, labels, ce)
        if not gradient.any():
            raise WorkError(
                "the surrogate's gradient is zero on every image, so nothing would be attacked: has its "
                "training collapsed? Lower adversary.training.lr, or choose another training"
            )

    def _best(self, candidates: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Of candidates (M, N, C, H, W) the one with the lowest mean margin over draws, image by image.

        On the classifier that the adversary sees, and on the same draws for all: the comparison is paired.
        """
        if len(candidates) == 1:
            return candidates[0]
        model, count = self.defense.wrap(self.attacked_classifier), self.experiment.adversary.select
        found = [outcomes(self.draws(model, some, ids, "rank", count), labels) for some in candidates]
        best = torch.stack([each["margin"].double().sum(0) for each in found]).argmin(0)
        return candidates[best, torch.arange(len(labels), device=candidates.device)]

    def adversarial_images(self, index: int) -> Tensor:
        """Adversarial images (n, C, H, W) of one chunk, read from the store once they are all made."""
        assert len(self.adversarial) == len(self.chunks)  # made now, under a progress bar of their own
        key = self.adversarial_keys[index]
        artifact = self.experiment.store.load("adversarial", key)
        if artifact is None:
            raise WorkError(
                f"{self.experiment.store.path('adversarial', key)} has gone; run the command again"
            )
        return artifact.tensors["images"]

    def known(self, name: str) -> Tensor | None:
        """What the attack knows of each image (n, ...), such as `perturbed`; None if it does not say."""
        if any(name not in part.tensors for part in self.adversarial):
            return None
        return torch.cat([part.tensors[name] for part in self.adversarial])

    # the defended classifier

    @cached_property
    def model(self) -> nn.Module:
        """The defended classifier, on the device."""
        return freeze(self.defense.wrap(self.classifier))

    def draws(
        self, model: nn.Module, images: Tensor, ids: Tensor, purpose: str, count: int, first: int = 0
    ) -> Iterator[Tensor]:
        """`vqexp.core.sampling.Sampler.draws`, with what this run's adversary knows."""
        known = self.experiment.adversary.fixed_draws
        sampler = Sampler(self.experiment.seed, known, self.halving, self.judging_depends_on_batch)
        return sampler.draws(model, images, ids, purpose, count, first)

    # memory

    @cached_property
    def halving(self) -> Halving:
        """Of batches that do not fit into memory."""
        return Halving()

    def judging_depends_on_batch(self) -> list[str]:
        """What makes the defended classifier's outputs depend on which images share a batch."""
        found, (judged, _) = [], self.experiment.statistics
        if judged == "batch":
            found.append("f as it is judged, whose BatchNorm normalizes by the statistics of the batch")
        if isinstance(self.model, ForeignModel) and self.model.random:
            found.append(f"the draws of defense {self.defense.name}, which wraps f by itself")
        return found

    def depends_on_batch(self) -> list[str]:
        """What makes the numbers depend on which images share a batch, that is, on attack.batch_size."""
        attack, found = self.experiment.attack, self.judging_depends_on_batch()
        if self.experiment.statistics[1] == "batch" and self.attacked:
            found.append("f as it is attacked, whose BatchNorm normalizes by the statistics of the batch")
        if self.attacked and not attack.by_image:
            found.append(f"the random numbers of attack {type(attack).__name__}")
        return found


def _joined(parts: list[Artifact]) -> Artifact:
    """What an attack found on one part of a chunk after the other."""
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
    violation = max(part.facts["violation"] for part in parts)
    return Artifact(tensors, {**parts[0].facts, "violation": violation})
