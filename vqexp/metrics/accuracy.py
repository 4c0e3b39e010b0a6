"""Natural and robust accuracy of a defended classifier over fresh draws of its randomness."""

import torch
from torch import Tensor

from vqexp.core.errors import check_number
from vqexp.core.estimate import Estimate, average, proportion
from vqexp.metrics.protocols import all_of, vote
from vqexp.pipeline.metric import Measurement, Metric
from vqexp.pipeline.stages import Evaluation, Stages


class Accuracy(Metric):
    """runs: draws for the report, >= 1. select_runs: further, disjoint draws kept for selection, >= 1.

    vote: draws of a majority vote, all: draws that must all be right, both 1 to `runs`
    (`vqexp.metrics.protocols`).
    """

    def __init__(self, *, runs: int, select_runs: int, vote: int, all: int) -> None:
        check_number("metric.runs", runs, low=1, integer=True)
        check_number("metric.select_runs", select_runs, low=1, integer=True)
        check_number("metric.vote", vote, low=1, high=runs, integer=True)
        check_number("metric.all", all, low=1, high=runs, integer=True)
        self.runs, self.select_runs, self.vote, self.all = runs, select_runs, vote, all

    def measure(self, stages: Stages) -> Measurement:
        """Accuracies on the clean and, if there are any, on the adversarial images.

        `_on_correct`: over the images that f classifies correctly. `undefended_`: f without the defense. A
        defense inside f has neither. What is reported comes from `report` draws; `select` draws, which are
        others, serve choices among attacks.
        """
        labels = stages.images.labels
        counts = {"ids": stages.images.ids, "labels": labels}
        estimates: dict[str, Estimate] = {}
        on_correct: Tensor | None = None
        for kind in ("natural", "adversarial") if stages.attacked else ("natural",):
            adversarial = kind == "adversarial"
            alone: Tensor | None = None
            if not stages.defense.installs:  # without which there is no f
                judged = stages.evaluate(adversarial=adversarial, defended=False, purpose="report", runs=1)
                alone = judged.correct
                counts[f"undefended_{kind}_correct"] = alone[0]
                on_correct = alone[0] if on_correct is None else on_correct
            for purpose, runs in (("select", self.select_runs), ("report", self.runs)):
                judged = stages.evaluate(adversarial=adversarial, defended=True, purpose=purpose, runs=runs)
                counts |= self._counts(f"{kind}_{purpose}", judged, labels)
            estimates |= self._estimates("robust" if adversarial else kind, judged, labels, on_correct)
            if alone is not None:
                name = "undefended_accuracy" if adversarial else "undefended_natural_accuracy"
                title = f"{'robust' if adversarial else 'natural'} accuracy, no defense"
                estimates[name] = proportion(alone, title=title)
            if adversarial:
                estimates |= self._attacked(stages, judged)
                losses = stages.known("losses")
                counts |= {} if losses is None else {"attack_losses": losses}
        return Measurement(estimates, counts)

    def _estimates(
        self, name: str, judged: Evaluation, labels: Tensor, on_correct: Tensor | None
    ) -> dict[str, Estimate]:
        title = f"{name} accuracy"
        voted, every = vote(judged.predicted, labels, self.vote), all_of(judged.correct, self.all)
        shared = judged.shared
        found = {f"{name}_accuracy": proportion(judged.correct, title=title, shared=shared)}
        if on_correct is not None:
            found[f"{name}_accuracy_on_correct"] = proportion(
                judged.correct, on_correct, title=f"{title}, where f is right", shared=shared
            )
        return found | {
            f"{name}_accuracy_vote": proportion(voted, title=f"{title}, by majority vote"),
            f"{name}_accuracy_all": proportion(every, title=f"{title}, right in every draw"),
        }

    def _counts(self, name: str, judged: Evaluation, labels: Tensor) -> dict[str, Tensor]:
        return {
            f"{name}_outcomes": judged.correct,
            f"{name}_correct": judged.correct.sum(0),
            f"{name}_margin": judged.margin.mean(0),
            f"{name}_runs": torch.tensor(len(judged.correct)),
            f"{name}_vote": vote(judged.predicted, labels, self.vote),
            f"{name}_all": all_of(judged.correct, self.all),
        }

    def _attacked(self, stages: Stages, judged: Evaluation) -> dict[str, Estimate]:
        """What only an attack has: how many images it changed, and what it says of its own success.

        `distance`: of the points that an attack found which looks for the nearest ones, in its norm.
        """
        perturbed, flags = stages.known("perturbed"), stages.known("autoattack_flags")
        distances = stages.known("distance")
        assert perturbed is not None
        estimates = {
            "robust_accuracy_on_perturbed": proportion(
                judged.correct,
                perturbed,
                title="robust accuracy, on perturbed images",
                shared=judged.shared,
            ),
            "perturbed": proportion(perturbed.unsqueeze(0), title="images perturbed"),
        }
        if flags is not None:
            estimates["autoattack_flags"] = proportion(
                flags.unsqueeze(0), title="AutoAttack's own verdict on its view"
            )
        if distances is not None:
            found = distances.where(distances.isfinite(), torch.nan)
            estimates["distance"] = average(found, "", "distance of the points found")
        return estimates
