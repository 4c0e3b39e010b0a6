"""High-probability certificates: journal, Proposition 1; arXiv version, Theorem 1.

Both speak of one adversarial image A(x), the one that the attack found. Neither says anything of the other
images in the ball around x, so neither is a certificate against all attacks.
"""

import math

import torch
from torch import Tensor

from vqexp.core.errors import SenselessError, check_number
from vqexp.core.estimate import proportion
from vqexp.core.reductions import mean
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric, needs_attack
from vqexp.pipeline.stages import Stages


def certified_error(distance: Tensor, margin: Tensor, *, m: int, delta: float) -> Tensor:
    """Right-hand side of Proposition 1 (eq. 6) for n images, in [0, 1]; 1 where f is wrong about x.

    distance (n,): mean over m draws of ||f(x) - f(x^')||_1, f being class probabilities, x clean and x^' the
    quantized A(x). margin (n,): rho(x, y, f), the label's probability at x less the highest other.
    The error at A(x) exceeds this with a probability of at most `delta`, in (0, 1], image by image.

    With m = 100, distance 0.2 and margin 0.9 it is 0.494 at delta 0.05 and 0.584 at delta 0.005. The paper
    prints 0.40 and 0.45, about what a base-10 logarithm gives; its proof (A.3) needs the natural one.
    """
    slack = math.sqrt(2 * math.log(1 / delta) / m)
    return torch.where(margin > 0, (distance + slack) / margin, 1.0).clamp(0, 1)


def certified_accuracy(distance: Tensor, margin: Tensor, *, m: int, delta: float) -> Tensor:
    """1 - `certified_error`: journal, eq. 9; 0 where f is wrong about x."""
    return 1 - certified_error(distance, margin, m=m, delta=delta)


def vote_certificate(margin: Tensor, divergence: Tensor) -> Tensor:
    """arXiv Theorem 1 (eq. 5): delta = margin^2 / 2 - KL, both (n,).

    margin: of the defended classifier at the clean x, the probability of the label less the highest other.
    divergence: KL(Q(.|x) || Q(.|A(x))) in nats. Where delta >= 0 the most frequent of t labels at A(x) is
    right with a probability of at least 1 - classes * exp(-2 t delta^2); it needs a divergence of at most
    1/2. Where the margin is not positive nothing follows, and delta is -inf.
    """
    return torch.where(margin > 0, margin.square() / 2 - divergence, -torch.inf)


class Certified(Metric):
    """Certified accuracy at the adversarial image (journal, section 6.2 and Figure 7).

    draws: m, >= 1. delta: chance, in (0, 1), that an image's bound does not hold.
    It holds for each image by itself; for all images at once, or for their mean, delta says nothing.
    """

    def __init__(self, *, draws: int, delta: float, cost: str = "light") -> None:
        super().__init__(cost=cost)
        check_number("metric.draws", draws, low=1, integer=True)
        check_number("metric.delta", delta, above=0, below=1)
        self.draws, self.delta = draws, float(delta)

    def check(self, experiment: Experiment) -> None:
        """Refuse what Proposition 1 does not speak of."""
        needs_attack("certified", experiment)
        if experiment.adversary.fixed_draws is not None:
            raise SenselessError(
                "metric=certified needs draws that are independent of A(x), but this adversary knows them"
            )
        if experiment.defense.installs:
            raise SenselessError(
                "metric=certified compares with f alone, but this defense is a part of f; "
                "choose one that is placed before f"
            )

    def measure(self, stages: Stages) -> Measurement:
        """`certified_accuracy`: its mean over all images. `certified`: share of images where it is not 0.

        `robust_accuracy` is what is bounded, over the same m draws.
        """
        labels = stages.images.labels
        found = stages.chunked(
            "certified",
            [self.VERSION, self.draws],
            lambda index: self._of_chunk(stages, index),
            adversarial=True,
        )
        accuracy = certified_accuracy(found["distance"], found["margin"], m=self.draws, delta=self.delta)
        estimates = {
            "certified_accuracy": proportion(
                accuracy.unsqueeze(0), title="certified accuracy (journal, Proposition 1)"
            ),
            "certified": proportion(accuracy.unsqueeze(0) > 0, title="images certified above zero"),
            "robust_accuracy": proportion(found["right"].unsqueeze(0), title="robust accuracy"),
        }
        counts = {"ids": stages.images.ids, "labels": labels, "certified_accuracy": accuracy, **found}
        note = (
            f"certified at the one adversarial image of this attack, not over the ball: {self.draws} draws, "
            f"delta {self.delta:g}"
        )
        return Measurement(estimates, counts, {"note": note})

    @torch.no_grad()
    def _of_chunk(self, stages: Stages, index: int) -> dict[str, Tensor]:
        """distance, margin and share of right draws, (n,) float64."""
        rows = stages.chunks[index]
        x, adversarial, ids = stages.inputs(index, False), stages.inputs(index, True), stages.images.ids[rows]
        labels = stages.images.labels[rows].to(x.device)
        (logits,) = next(stages.draws(stages.classifier, x, ids, "report", 1))
        clean = logits.double().softmax(1)
        found = mean(
            torch.stack([(logits.double().softmax(2) - clean).abs().sum(2), logits.argmax(2) == labels], 2)
            for logits in stages.draws(stages.model, adversarial, ids, "report", self.draws)
        )
        return {
            "distance": found[:, 0],
            "margin": probability_margin(clean, labels),
            "right": found[:, 1],
        }


def probability_margin(probabilities: Tensor, labels: Tensor) -> Tensor:
    """rho: the label's probability less the highest other (journal, eq. 4), (N, classes) -> (N,)."""
    own = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    return own - probabilities.scatter(1, labels.unsqueeze(1), -1.0).amax(1)
