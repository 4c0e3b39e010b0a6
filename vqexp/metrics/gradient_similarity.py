"""How alike two draws of a random classifier are: Ma et al. 2023, eq. 6 to 9, Lemma 1 and Table 6."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from vqexp.adversaries import RandomView
from vqexp.core.errors import SenselessError, check_number
from vqexp.core.estimate import Estimate, average, proportion
from vqexp.core.random_module import shares_draws
from vqexp.core.sampling import AT_ONCE
from vqexp.defenses import drawn_weights
from vqexp.metrics.gradients import summarize
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric
from vqexp.pipeline.stages import Stages


class GradientSimilarity(Metric):
    """Cosines of two draws: of the loss gradients at each clean image, and of the random weights.

    pairs: of gradients an image, weight_pairs: of weights, >= 1. eps: in [-1, 1]; a pair whose cosine is at
    most that is a positive sample. It is the paper's eps_r, whose value is not given ("-> 0+").
    Both draws of a pair are new ones (Lemma 1 fixes the first). All weights of f make one vector.
    """

    def __init__(self, *, pairs: int, weight_pairs: int, eps: float = 0.0, cost: str = "light") -> None:
        super().__init__(cost=cost)
        check_number("metric.pairs", pairs, low=1, integer=True)
        check_number("metric.weight_pairs", weight_pairs, low=1, integer=True)
        check_number("metric.eps", eps, low=-1, high=1)
        self.pairs, self.weight_pairs, self.eps = pairs, weight_pairs, float(eps)

    def check(self, experiment: Experiment) -> None:
        """Refuse a defense without draws or without a gradient."""
        if not (experiment.defense.random and experiment.defense.differentiable):
            raise SenselessError(
                "metric=gradient_similarity compares gradients of two draws, and "
                f"{experiment.defense.name} has no {'gradient' if experiment.defense.random else 'draws'}"
            )

    def measure(self, stages: Stages) -> Measurement:
        """`gradient_cosine`, `gradient_positive`: mean cosine, and share of pairs with at most `eps`.

        `weight_cosine`, `weight_positive` (Lemma 1) and `weight_cosine_min` likewise, where
        f has random weights. Their intervals are over pairs.
        """
        rows = stages.chunked(
            "gradient_similarity", [self.VERSION, self.pairs], self._of_chunk(stages), adversarial=False
        )
        cosines = rows["cosine"].T.contiguous()
        known = ~cosines.isnan().any(0)  # no gradient of the image is zero
        shared = shares_draws(stages.model)
        estimates = {
            "gradient_cosine": average(cosines, "", "cosine of two draws' gradients", shared=shared),
            "gradient_positive": proportion(
                cosines <= self.eps,
                known,
                title=f"gradients with a cosine of at most {self.eps:g}",
                shared=shared,
            ),
        }
        if size := drawn_weights(stages.model, torch.arange(1)).shape[1]:
            alike = torch.cat([*self._of_weights(stages.model, size)])
            estimates |= {
                "weight_cosine": average(alike, "", "cosine of two draws' weights"),
                "weight_cosine_min": Estimate(
                    alike.min().item(),
                    0.0,
                    1,
                    len(alike),
                    (-math.inf, math.inf),
                    "",
                    "least cosine of weights",
                ),
                "weight_positive": proportion(
                    (alike <= self.eps).unsqueeze(0), title=f"weights with a cosine of at most {self.eps:g}"
                ),
            }
        counts = {"ids": stages.images.ids, "labels": stages.images.labels, "gradient_cosine": cosines}
        return Measurement(estimates, counts)

    def _of_chunk(self, stages: Stages) -> Callable[[int], dict[str, Tensor]]:
        def compute(index: int) -> dict[str, Tensor]:
            view, rows = RandomView(stages.model), stages.chunks[index]
            images = stages.inputs(index, False)
            view.start(0, stages.images.ids[rows])
            labels = stages.images.labels[rows].to(images.device)
            return {"cosine": summarize(view, images, labels, self.pairs)["cosine"]}

        return compute

    def _of_weights(self, model: nn.Module, size: int) -> Iterator[Tensor]:
        """Cosines of vectors of `size` weights, some pairs at a time."""
        for numbers in torch.arange(2 * self.weight_pairs).split(2 * max(1, AT_ONCE // (2 * size))):
            drawn = drawn_weights(model, numbers)
            yield cosine_similarity(drawn[::2], drawn[1::2], dim=1, eps=0)
