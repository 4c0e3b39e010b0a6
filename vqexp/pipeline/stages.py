"""The stages of a run. Each is a set of artifacts under keys made of what determines their results.

    dataset -> classifier -> adversarial images -> evaluations, R draws each

Images go through in chunks of `attack.batch_size`, in the dataset's order; a chunk is one artifact, so a
run that is killed loses one chunk at most and several workers share the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.keys import key_of, seed_of
from vqexp.core.random_module import is_random, shares_draws
from vqexp.core.reductions import blocks, outcomes, votes
from vqexp.core.store import Artifact, Job
from vqexp.pipeline.adversarial import AdversarialStages, told

EVALUATION_VERSION = 3


@dataclass
class Evaluation:
    """predicted int16, correct bool, margin float32: all (runs, n). shared: a run's images share a draw."""

    predicted: Tensor
    correct: Tensor
    margin: Tensor
    shared: bool = False


class Stages(AdversarialStages):
    """The stages of one experiment, computed on demand and at most once."""

    def evaluate(self, *, adversarial: bool, defended: bool, purpose: str, runs: int) -> Evaluation:
        """Predictions on all images under `runs` draws of `purpose`; one where the classifier is fixed."""
        model = self.model if defended else self.classifier
        random = is_random(model)
        known = self.experiment.adversary.fixed_draws if random else None
        runs = runs if random else 1

        def judge(index: int) -> dict[str, Tensor]:
            rows, images = self.chunks[index], self.inputs(index, adversarial)
            labels = self.images.labels[rows].to(images.device)
            return outcomes(self.draws(model, images, self.images.ids[rows], purpose, runs), labels)

        settings = [purpose, runs, known, defended and self.defense_key, EVALUATION_VERSION]
        title = f"{'adversarial' if adversarial else 'natural'}, {'defended' if defended else 'undefended'}"
        parts = self._chunk_artifacts(
            "evaluation",
            settings,
            judge,
            adversarial,
            title=f"{title}, {purpose}",
            accuracy=lambda part: part.tensors["correct"].float().mean().item(),
        )
        predicted, correct, margin = (
            torch.cat([part.tensors[name] for part in parts], 1)
            for name in ("predicted", "correct", "margin")
        )
        return Evaluation(predicted, correct, margin, shares_draws(model))

    def votes(self, *, adversarial: bool, purpose: str, draws: int) -> Tensor:
        """How many of the defended classifier's draws give each label, (n, classes) int64.

        They are kept by block of draws, so that more of them later cost no more than the difference.
        """
        known = self.experiment.adversary.fixed_draws
        total = torch.zeros((), dtype=torch.int64)
        for first, stop in blocks(draws) if is_random(self.model) and known is None else [(0, draws)]:

            def count(index: int, first: int = first, stop: int = stop) -> dict[str, Tensor]:
                images, ids = self.inputs(index, adversarial), self.images.ids[self.chunks[index]]
                found = self.draws(self.model, images, ids, purpose, stop - first, first)
                return {"votes": votes(found).cpu()}

            settings = [purpose, first, stop, known, self.defense_key, EVALUATION_VERSION]
            title = f"votes {first + 1:,} to {stop:,} of {draws:,}"
            parts = self._chunk_artifacts(
                "votes", settings, count, adversarial, title=title, draws=stop - first
            )
            total = total + torch.cat([part.tensors["votes"] for part in parts])
        return total

    def image_keys(self, adversarial: bool) -> list[str]:
        """Keys of the chunks of adversarial or clean images."""
        return self.adversarial_keys if adversarial else self.data_keys

    def inputs(self, index: int, adversarial: bool) -> Tensor:
        """Clean or adversarial images of one chunk, on the device."""
        pixels = self.adversarial_images(index) if adversarial else self.images.pixels(self.chunks[index])
        return pixels.to(self.experiment.device)

    def chunked(
        self,
        kind: str,
        settings: Any,
        compute: Callable[[int], dict[str, Tensor]],
        *,
        adversarial: bool,
        seen: bool = False,
    ) -> dict[str, Tensor]:
        """`compute(index)` for every chunk, each an artifact; the tensors (n, ...) of all, concatenated.

        The key is made of `settings`, the images (clean or adversarial), f, the defense, the seed and, if
        `seen`, the adversary's view.
        """
        settings = [settings, self.defense_key, self.view_key if seen else None]
        settings.append(self.experiment.sources.get("metric"))
        image_keys = self.image_keys(adversarial)

        def reproducible(index: int) -> dict[str, Tensor]:
            with generators_kept():
                seed_generators(seed_of(self.experiment.seed, kind, image_keys[index]))
                return compute(index)

        parts = self._chunk_artifacts(kind, settings, reproducible, adversarial, title=kind)
        return {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}

    def _chunk_artifacts(
        self,
        kind: str,
        settings: Any,
        compute: Callable[[int], dict[str, Tensor]],
        adversarial: bool,
        title: str,
        accuracy: Callable[[Artifact], float] | None = None,
        draws: int | None = None,
    ) -> list[Artifact]:
        image_keys = self.image_keys(adversarial)
        if adversarial:
            assert len(self.adversarial) == len(self.chunks)  # made now, under a progress bar of their own
        common = [settings, self.classifier_key, self.experiment.seed, *told(self.experiment.statistics[0])]
        jobs = [
            Job(kind, key_of(kind, key, common), lambda index=index: Artifact(compute(index)))  # type: ignore[misc]
            for index, key in enumerate(image_keys)
        ]
        return self.ledger.fetch_chunks(title, jobs, self.chunks, accuracy, draws=draws)
