"""How close a quantized adversarial image is to the clean one, and how much of the attack is left in it.

Journal, Figures 1 and 10; arXiv, Figures 1 and 7.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vqexp.core.errors import SenselessError, check_number
from vqexp.core.estimate import FRACTION, average
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric, needs_attack
from vqexp.pipeline.stages import Stages

OF = {
    "undefended": "of A(x)",
    "defended": "of the quantized A(x)",
    "natural": "of the quantized x",
    "between": "between the two quantized",
}


class Denoising(Metric):
    """PSNR and SSIM between the clean image x and what the defense makes of A(x), over `runs` draws, >= 1.

    Besides, the share of the perturbation that the defense removes.
    """

    VERSION = 2
    REMOVED_VERSION = 1  # of what was added later, so that what was there before keeps its keys

    def __init__(self, *, runs: int, cost: str = "light") -> None:
        super().__init__(cost=cost)
        check_number("metric.runs", runs, low=1, integer=True)
        self.runs = runs

    def check(self, experiment: Experiment) -> None:
        """Refuse a run without adversarial images or without images of a defense."""
        needs_attack("denoising", experiment)
        if not experiment.defense.preprocesses:
            raise SenselessError(
                "metric=denoising looks at the images that a preprocessor makes, but "
                f"{experiment.defense.name} acts on more than f's input"
            )

    def measure(self, stages: Stages) -> Measurement:
        """`psnr_defended` in dB and `ssim_defended`; `_undefended`: of A(x) itself; `_natural`: of the
        quantized x; `_between`: of the quantized A(x) to the quantized x, under another draw. `removed`:
        the share of A(x) - x that the defense removes (`removed`).

        Over the images that the attack changed: of others there is nothing to remove.
        """
        found = stages.chunked(
            "denoising",
            [self.VERSION, self.runs],
            lambda index: self._of_chunk(stages, index),
            adversarial=True,
        )
        perturbed = stages.known("perturbed")
        assert perturbed is not None
        counts = {"ids": stages.images.ids, "labels": stages.images.labels, **found}
        estimates = {}
        for name, values in found.items():
            score, kind = name.split("_")
            title = f"{score.upper()} {OF[kind]}"
            estimates[name] = average(values[perturbed].T, "dB" if score == "psnr" else "", title)
        shares = self._removed(stages)
        estimates["removed"] = average(shares[perturbed].T, FRACTION, "share of A(x) - x removed")
        return Measurement(estimates, {**counts, "removed": shares})

    def _removed(self, stages: Stages) -> Tensor:
        """Of each image under each draw, (n, draws)."""

        @torch.no_grad()
        def of_chunk(index: int) -> dict[str, Tensor]:
            x, adversarial = stages.inputs(index, False), stages.inputs(index, True)
            shares = [
                removed(after, before, adversarial - x) for after, _, before in self._quantized(stages, index)
            ]
            return {"removed": torch.stack(shares, 1).cpu()}

        settings = ["removed", self.REMOVED_VERSION, self.runs]
        return stages.chunked("denoising", settings, of_chunk, adversarial=True)["removed"]

    def _quantized(self, stages: Stages, index: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields what the defense makes of A(x), of x, and of x under the next draw, draw by draw."""
        ids = stages.images.ids[stages.chunks[index]]
        naturals = _each_draw(stages, stages.inputs(index, False), ids, self.runs + 1)
        natural = next(naturals)
        for defended in _each_draw(stages, stages.inputs(index, True), ids, self.runs):
            other = next(naturals, natural)  # of a fixed defense there is but one
            yield defended, natural, other
            natural = other

    @torch.no_grad()
    def _of_chunk(self, stages: Stages, index: int) -> dict[str, Tensor]:
        """Tensors (n, draws)."""
        x, adversarial = stages.inputs(index, False), stages.inputs(index, True)
        rows: dict[str, list[Tensor]] = {}
        for defended, natural, other in self._quantized(stages, index):
            pairs = {"defended": (defended, x), "natural": (natural, x), "between": (defended, other)}
            for kind, (images, to) in pairs.items():
                for name, values in similarity(images, to).items():
                    rows.setdefault(f"{name}_{kind}", []).append(values)
        for name, values in similarity(adversarial, x).items():
            rows[f"{name}_undefended"] = [values]
        return {name: torch.stack(values, 1).cpu() for name, values in rows.items()}


def _each_draw(stages: Stages, images: Tensor, ids: Tensor, draws: int) -> Iterator[Tensor]:
    """What the defense makes of the images, draw by draw."""
    for block in stages.draws(stages.defense, images, ids, "report", draws):
        yield from block


def removed(after: Tensor, before: Tensor, perturbation: Tensor) -> Tensor:
    """The share of a perturbation that a quantizer removes, (N,); NaN where there is no perturbation.

    1 less the projection of q(A(x)) - q(x), what is left of it, on A(x) - x: 0 for a quantizer that changes
    nothing, 1 for one whose output does not move with the perturbation, below 0 for one that amplifies it.
    All of shape (N, C, H, W).
    """
    left = ((after - before) * perturbation).flatten(1).sum(1)
    return 1 - left / perturbation.square().flatten(1).sum(1)


def similarity(images: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """psnr in dB, NaN for equal images, and ssim in [-1, 1] (Wang et al. 2004), (N,) each.

    Both (N, C, H, W) in [0, 1], of at least 6 x 6 pixels.
    """
    from torchmetrics.functional import image as scores  # takes seconds to import

    psnr = scores.peak_signal_noise_ratio(images, clean, 1.0, reduction="none", dim=(1, 2, 3))
    ssim = scores.structural_similarity_index_measure(images, clean, reduction="none", data_range=1.0)
    assert isinstance(ssim, Tensor)
    return {"psnr": torch.where(psnr.isinf(), torch.nan, psnr), "ssim": ssim.reshape(len(clean))}
