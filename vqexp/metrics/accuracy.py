"""Natural and robust accuracy of a defended classifier over fresh draws of its randomness."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.errors import check_number
from vqexp.metrics.estimate import Estimate, proportion


@dataclass(frozen=True)
class Outcomes:
    """What the evaluation saw, image by image.

    natural, adversarial: correct by the defended classifier, bool (runs, n), on report draws.
    undefended_natural, undefended_adversarial: correct by f alone, bool (1, n).
    perturbed: the attack changed the image, bool (n,).
    flags: what the attack itself calls robust, bool (n,).
    Without an attack the last four are None.
    """

    natural: Tensor
    undefended_natural: Tensor
    adversarial: Tensor | None = None
    undefended_adversarial: Tensor | None = None
    perturbed: Tensor | None = None
    flags: Tensor | None = None


class Accuracy:
    """runs: draws for the report, >= 1. select_runs: further, disjoint draws kept for selection, >= 1."""

    VERSION = 1

    def __init__(self, *, runs: int, select_runs: int) -> None:
        check_number("metric.runs", runs, low=1, integer=True)
        check_number("metric.select_runs", select_runs, low=1, integer=True)
        self.runs, self.select_runs = runs, select_runs

    def reduce(self, outcomes: Outcomes) -> dict[str, Estimate]:
        """The metrics by name; `_on_correct`: over the images that f classifies correctly."""
        correct = outcomes.undefended_natural[0]
        metrics = {
            "natural_accuracy": proportion(outcomes.natural),
            "natural_accuracy_on_correct": proportion(outcomes.natural, correct),
            "undefended_natural_accuracy": proportion(outcomes.undefended_natural),
        }
        if outcomes.adversarial is None:
            return metrics
        assert outcomes.undefended_adversarial is not None
        assert outcomes.perturbed is not None
        metrics |= {
            "robust_accuracy": proportion(outcomes.adversarial),
            "robust_accuracy_on_correct": proportion(outcomes.adversarial, correct),
            "robust_accuracy_on_perturbed": proportion(outcomes.adversarial, outcomes.perturbed),
            "undefended_accuracy": proportion(outcomes.undefended_adversarial),
            "perturbed": proportion(outcomes.perturbed.unsqueeze(0)),
        }
        if outcomes.flags is not None:
            metrics["autoattack_flags"] = proportion(outcomes.flags.unsqueeze(0))
        return metrics


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the highest other logit, (N, classes) and (N,) -> (N,); > 0 is correct."""
    own = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    return own - others.amax(1)
