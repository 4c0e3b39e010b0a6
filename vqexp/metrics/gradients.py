"""Whether the gradients that an attack follows are worth following (Athalye et al. 2018, section 3)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from vqexp.adversaries import View
from vqexp.core.errors import SenselessError, check_number
from vqexp.core.estimate import average, proportion
from vqexp.core.random_module import shares_draws
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric
from vqexp.pipeline.stages import Stages

NO_GRADIENT = "metric=gradients looks at gradients, but this adversary has none to follow"


TITLES = {
    "norm": "gradient norm",
    "all_zero": "gradients that are zero",
    "zero_entries": "entries that are zero",
    "not_finite": "gradients that are NaN or infinite",
    "cosine": "cosine of two draws' gradients",
}


class Gradients(Metric):
    """Gradients of the cross-entropy through the adversary's view: do they exist, and do they agree?

    pairs: pairs of independent calls of the view, >= 1, each of which gives one cosine an image.
    Each call averages as many draws as the adversary does.
    """

    VERSION = 2

    def __init__(self, *, pairs: int) -> None:
        check_number("metric.pairs", pairs, low=1, integer=True)
        self.pairs = pairs

    def check(self, experiment: Experiment) -> None:
        """Refuse an adversary without gradients."""
        if not experiment.adversary.differentiable:
            raise SenselessError(NO_GRADIENT)

    def measure(self, stages: Stages) -> Measurement:
        """At the clean and, if there are any, at the adversarial images.

        `_norm`: l2 norm, loss per unit of [0, 1] pixels. `_all_zero`, `_not_finite`: share of gradients
        that are zero in every entry, or NaN or infinite in some; `_zero_entries`: share of entries.
        `_cosine`: cosine similarity in [-1, 1] of two independent calls' gradients, 1 for a fixed view;
        pairs in which one is zero or not finite have none.
        Raises `SenselessError` if the view is not differentiable.
        """
        if not stages.view.differentiable:
            raise SenselessError(NO_GRADIENT)
        shared = shares_draws(stages.model)
        found = Measurement({}, {"ids": stages.images.ids, "labels": stages.images.labels})
        for kind in ("natural", "adversarial") if stages.attacked else ("natural",):
            adversarial = kind == "adversarial"
            rows = stages.chunked(
                "gradients",
                [self.VERSION, self.pairs],
                self._of_chunk(stages, adversarial),
                adversarial=adversarial,
                seen=True,
            )
            name = f"{kind}_gradient"
            calls = {key: values.T for key, values in rows.items()}
            for key, text in TITLES.items():
                title, values = f"{text}, {kind} images", calls[key]
                share = key in ("all_zero", "zero_entries", "not_finite")
                found.estimates[f"{name}_{key}"] = (
                    proportion(values, title=title, shared=shared)
                    if share
                    else average(values, "", title, shared=shared)
                )
            found.counts |= {f"{name}_{key}": values.contiguous() for key, values in calls.items()}
        return found

    def _of_chunk(self, stages: Stages, adversarial: bool) -> Callable[[int], dict[str, Tensor]]:
        view = stages.view

        def compute(index: int) -> dict[str, Tensor]:
            images, rows = stages.inputs(index, adversarial), stages.chunks[index]
            labels = stages.images.labels[rows].to(images.device)
            view.start(0, stages.images.ids[rows])
            return summarize(view, images, labels, self.pairs if view.random else 0)

        return compute


def summarize(view: View, images: Tensor, labels: Tensor, pairs: int) -> dict[str, Tensor]:
    """What is told of each gradient: tensors (N, calls), and `cosine` (N, pairs).

    pairs: 0 for a fixed view, which is called once and agrees with itself.
    """
    rows: dict[str, list[Tensor]] = {"norm": [], "all_zero": [], "zero_entries": [], "not_finite": []}
    cosines = []
    for _ in range(max(pairs, 1)):
        pair = [_gradient(view, images, labels) for _ in range(2 if pairs else 1)]
        for gradient in pair:
            finite, zero = gradient.isfinite().all(1), gradient == 0
            rows["norm"].append(_where(finite, gradient.norm(dim=1)))
            rows["all_zero"].append(zero.all(1))
            rows["zero_entries"].append(zero.double().mean(1))
            rows["not_finite"].append(~finite)
        cosine = cosine_similarity(pair[0], pair[-1], dim=1, eps=0)  # 0/0 where one is zero
        cosines.append(cosine.clamp(-1, 1))
    return {name: torch.stack(values, 1) for name, values in rows.items()} | {
        "cosine": torch.stack(cosines, 1)
    }


def _gradient(view: View, images: Tensor, labels: Tensor) -> Tensor:
    """(N, C H W) in float64: in float32 the squares of small entries are lost."""
    gradient, _ = view.gradient(images, labels, lambda logits, y: cross_entropy(logits, y, reduction="none"))
    return gradient.flatten(1).double()


def _where(defined: Tensor, values: Tensor) -> Tensor:
    return torch.where(defined, values, torch.nan)
