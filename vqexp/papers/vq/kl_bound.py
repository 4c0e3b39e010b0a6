"""How far x and A(x) differ in their codebooks: journal, section 6.3 and Figure 8; arXiv, section 4.2.

The paper calls U_KL a bound. What can be computed is an estimate of it: a mixture fitted to samples is not
their distribution. So the figure stands beside its floor, what the same recipe finds where there is
nothing to find.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.errors import SenselessError, check_number, one_of
from vqexp.core.estimate import average, proportion
from vqexp.core.reductions import votes
from vqexp.defenses import PRD, VectorQuantizer
from vqexp.defenses.vq import kmeans
from vqexp.papers.vq import mixture
from vqexp.papers.vq.proposition1 import probability_margin, vote_certificate
from vqexp.papers.vq.second_term import noise_limit, second_term
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric, needs_attack
from vqexp.pipeline.stages import Stages

PIXEL_MAXIMA = (1, 255)
TITLES = {
    "kl_full": "KL of codebooks, full covariances",
    "kl_full_floor": "KL of codebooks, full covariances: its floor, two sample sets of the same x",
    "kl_diag": "KL of codebooks, diagonal covariances",
    "kl_diag_floor": "KL of codebooks, diagonal covariances: its floor, two sample sets of the same x",
    "kl_second_term": "second term of Lemma 1",
    "kl_second_term_floor": "second term of Lemma 1: its floor, x against itself",
    "kl_second_term_limit": "second term of Lemma 1: its limit, by data processing",
    "theorem1_full": "Theorem 1 applies, full covariances",
    "theorem1_diag": "Theorem 1 applies, diagonal covariances",
}


class KLBound(Metric):
    """Estimates the terms of U_KL (journal, Lemma 1), in nats, and how often arXiv Theorem 1 would apply.

    samples: codebooks drawn of each image, >= components. montecarlo: points for each divergence, >= 2.
    components: K of the Gaussian mixtures, >= 1. regularization: added to their variances, > 0, of pixels in
    0..`regularization_pixel_max`, 1 or 255. The papers give neither, and the figure hangs on it: where
    centers hardly vary it stands for their variance. codebooks, assignments: for the second term, codebooks
    and draws of the noise tau for each, >= 1. votes: draws for the margin in Theorem 1, >= 1.
    """

    VERSION = 2

    def __init__(
        self,
        *,
        samples: int,
        montecarlo: int,
        components: int,
        regularization: float,
        regularization_pixel_max: int = 1,
        codebooks: int,
        assignments: int,
        votes: int,
        cost: str = "light",
    ) -> None:
        super().__init__(cost=cost)
        check_number("metric.components", components, low=1, integer=True)
        check_number("metric.samples", samples, low=components, integer=True)
        check_number("metric.montecarlo", montecarlo, low=2, integer=True)
        check_number("metric.regularization", regularization, above=0)
        one_of("metric.regularization_pixel_max", regularization_pixel_max, PIXEL_MAXIMA)
        check_number("metric.codebooks", codebooks, low=1, high=samples, integer=True)
        check_number("metric.assignments", assignments, low=components, integer=True)
        check_number("metric.votes", votes, low=1, integer=True)
        self.samples, self.montecarlo, self.components = samples, montecarlo, components
        self.regularization = regularization / regularization_pixel_max**2  # of pixels in [0, 1]
        self.scale = f"regularized by {regularization:g} in 0..{regularization_pixel_max}"
        self.votes = votes
        self.codebooks, self.assignments = codebooks, assignments

    def check(self, experiment: Experiment) -> None:
        """Refuse a defense without a codebook, or whose codebook has no density."""
        needs_attack("kl_bound", experiment)
        defense = experiment.defense
        if not isinstance(defense, VectorQuantizer):
            raise SenselessError(
                f"metric=kl_bound compares codebooks, but {type(defense).__name__} has none; "
                "choose defense=randdisc, prd or swrd"
            )
        for name, scale in (("sigma", defense.sigma), ("tau", defense.tau)):
            if scale == 0:
                raise SenselessError(
                    f"defense.{name} is 0; without that noise the divergence of metric=kl_bound is infinite"
                )

    def measure(self, stages: Stages) -> Measurement:
        """`kl_full`, `kl_diag`: first term of Lemma 1, with the covariances of the mixtures full or diagonal.

        `_floor`: the same between two independent sample sets of x. `kl_second_term`, with its floor (x
        against itself) and, for pRD and RandDisc, its limit. `theorem1_`: share of images for which delta
        >= 0 in Theorem 1, if the sum of both terms were the divergence: a point estimate, no certificate.
        """
        settings = [
            self.VERSION,
            *(self.samples, self.montecarlo, self.components, self.regularization),
            *(self.codebooks, self.assignments, self.votes),
        ]
        # what x has by itself serves all attacks on it
        clean = stages.chunked(
            "kl_clean", settings, lambda index: self._of_clean(stages, index), adversarial=False
        )
        found = stages.chunked(
            "kl_bound", settings, lambda index: self._of_adversarial(stages, index, clean), adversarial=True
        )
        found |= {
            name: values for name, values in clean.items() if name.startswith("kl_") or name == "vote_margin"
        }
        estimates = {
            name: average(found[name], "nats", title) for name, title in TITLES.items() if name in found
        }
        for covariance in mixture.COVARIANCES:
            divergence = found[f"kl_{covariance}"] + found["kl_second_term"]
            holds = vote_certificate(found["vote_margin"], divergence) >= 0
            name = f"theorem1_{covariance}"
            estimates[name] = proportion(holds.unsqueeze(0), title=TITLES[name])
        counts = {"ids": stages.images.ids, "labels": stages.images.labels, **found}
        note = (
            f"an estimate, not a bound: {self.components} Gaussians fitted to {self.samples} codebooks, "
            f"{self.scale}; what is not clearly above its floor is not seen"
        )
        return Measurement(estimates, counts, {"note": note})

    def _of_clean(self, stages: Stages, index: int) -> dict[str, Tensor]:
        """For each x of a chunk: mixtures, floors, codebooks for the second term, margin of the votes."""
        images, rows = stages.inputs(index, False), stages.chunks[index]
        ids, labels = stages.images.ids[rows], stages.images.labels[rows]
        parts = [
            self._floors(_quantizer(stages), x, int(image_id))
            for x, image_id in zip(images, ids, strict=True)
        ]
        shares = (
            votes(stages.draws(stages.model, images, ids, "report", self.votes)).double().cpu() / self.votes
        )
        return {**_stacked(parts), "vote_margin": probability_margin(shares, labels)}

    def _floors(self, defense: VectorQuantizer, x: Tensor, image_id: int) -> dict[str, Tensor]:
        """For one image (C, H, W), from two independent sample sets, of which the first one counts."""
        books = [codebooks(defense, x, image_id, self.samples, first=i * self.samples) for i in (0, 1)]
        generator = torch.Generator(x.device).manual_seed(image_id)
        kept = books[0][: self.codebooks]
        found = {"codebooks": kept, "kl_second_term_floor": self._second(defense, x, x, kept, generator)}
        for covariance, fitted in self._mixtures(books, image_id):
            one, other = fitted[:1], fitted[1:]
            kl, error = mixture.divergence(one, other, self.montecarlo, generator)
            found[f"kl_{covariance}_floor"], found[f"kl_{covariance}_floor_error"] = kl[0], error[0]
            found |= {f"{covariance}_{name}": values[0] for name, values in vars(one).items()}
        return found

    def _of_adversarial(self, stages: Stages, index: int, clean: dict[str, Tensor]) -> dict[str, Tensor]:
        """For each A(x) of a chunk: its divergences from x, of which `clean` says the rest."""
        defense, rows = _quantizer(stages), stages.chunks[index]
        images, adversarial = stages.inputs(index, False), stages.inputs(index, True)
        known = [{name: values[i] for name, values in clean.items()} for i in range(rows.start, rows.stop)]
        parts = [
            self._divergences(defense, x, other, int(image_id), of_x)
            for x, other, image_id, of_x in zip(
                images, adversarial, stages.images.ids[rows], known, strict=True
            )
        ]
        found = _stacked(parts)
        if isinstance(defense, PRD):
            found["kl_second_term_limit"] = noise_limit(defense, images, adversarial).cpu()
        return found

    def _divergences(
        self, defense: VectorQuantizer, x: Tensor, other: Tensor, image_id: int, of_x: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Scalars for an image (C, H, W) and its adversarial one, from a sample set independent of `of_x`."""
        books = [codebooks(defense, other, image_id, self.samples, first=2 * self.samples)]
        generator = torch.Generator(x.device).manual_seed(2**32 + image_id)
        of_x = {name: values.to(x.device) for name, values in of_x.items()}
        found = {"kl_second_term": self._second(defense, x, other, of_x["codebooks"], generator)}
        for covariance, q in self._mixtures(books, image_id):
            p = mixture.Mixture(**{name: of_x[f"{covariance}_{name}"][None] for name in vars(q)})
            kl, error = mixture.divergence(p, q, self.montecarlo, generator)
            found[f"kl_{covariance}"], found[f"kl_{covariance}_error"] = kl[0], error[0]
        return found

    def _mixtures(self, books: list[Tensor], image_id: int) -> Iterator[tuple[str, mixture.Mixture]]:
        """For each kind of covariance, mixtures of the sample sets (n, k, d)."""
        points = torch.stack([ordered(each) for each in books])
        start = mixture.k_means_labels(points, self.components, Draw("call", image_id))
        fit = partial(mixture.fit, points, start, self.components, regularization=self.regularization)
        for covariance in mixture.COVARIANCES:
            yield covariance, fit(covariance=covariance)

    def _second(
        self, defense: VectorQuantizer, x: Tensor, other: Tensor, books: Tensor, generator: torch.Generator
    ) -> Tensor:
        return second_term(
            defense,
            torch.stack([x, other]),
            books,
            draws=self.assignments,
            components=self.components,
            regularization=self.regularization,
            generator=generator,
        )


def _quantizer(stages: Stages) -> VectorQuantizer:
    assert isinstance(stages.defense, VectorQuantizer)
    return stages.defense


def _stacked(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all images, on the CPU."""
    return {name: torch.stack([part[name] for part in parts]).cpu() for name in parts[0]}


def codebooks(defense: VectorQuantizer, x: Tensor, image_id: int, n: int, first: int = 0) -> Tensor:
    """Those of the image (C, H, W) in the `report` draws first to first + n - 1: (n, k, d)."""
    draw = Draw("report", torch.arange(first, first + n), torch.full((n,), image_id))
    return defense.codebooks(x.expand(n, *x.shape), draw)


def ordered(centers: Tensor) -> Tensor:
    """T: the centers of each codebook by ascending l2 norm, one after the other; (n, k, d) -> (n, k d)."""
    return kmeans.gather_rows(centers, centers.norm(dim=2).argsort(1)).flatten(1).double()
