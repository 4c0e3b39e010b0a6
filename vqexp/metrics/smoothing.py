"""Certified accuracy of a classifier under additive noise: Li et al. 2019, section 6.1; Cohen et al. 2019."""

from collections.abc import Sequence

from vqexp.certificates import ABSTAIN, CERTIFICATES, INTERVALS, certified
from vqexp.core.errors import SenselessError, check_number, one_of, require
from vqexp.core.estimate import average, proportion
from vqexp.defenses import AdditiveNoise
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric
from vqexp.pipeline.stages import Stages

PAPER_FACTOR = 0.95  # Li et al., section 4: "multiply 95% for the corresponding accuracy"


class Smoothing(Metric):
    """Votes of the classifier under the defense's noise, and what each certificate makes of them.

    certificates: names out of `CERTIFICATES`; all read the same votes. radii: at which certified accuracy is
    told, >= 0, in the norm of the certificate and in units of [0, 1] pixels. draws: that bound the
    probabilities, >= 1. guess_draws: further ones that name the label, >= 1; 0: the draws that bound them
    name it too, as in Li et al., which is optimistic. alpha: the chance that an image's guarantee fails, in
    (0, 1). interval: one of `INTERVALS`; for `cohen` always `binary`. Raises `ConfigError` for values out of
    range.
    """

    def __init__(
        self,
        *,
        certificates: Sequence[str],
        radii: Sequence[float],
        draws: int,
        guess_draws: int,
        alpha: float,
        interval: str = "clopper_pearson",
        cost: str = "light",
    ) -> None:
        super().__init__(cost=cost)
        for name in certificates:
            one_of("metric.certificates", name, CERTIFICATES)
        for radius in radii:
            check_number("metric.radii", radius, low=0)
        check_number("metric.draws", draws, low=1, integer=True)
        check_number("metric.guess_draws", guess_draws, low=0, integer=True)
        check_number("metric.alpha", alpha, above=0, below=1)
        one_of("metric.interval", interval, INTERVALS)
        require(certificates, "metric.certificates is empty; name some of " + ", ".join(CERTIFICATES))
        self.certificates, self.radii = list(certificates), [float(radius) for radius in radii]
        self.draws, self.guess_draws, self.alpha, self.interval = draws, guess_draws, alpha, interval

    def check(self, experiment: Experiment) -> None:
        """Refuse a defense that is no additive noise, or noise of another kind than a certificate's."""
        defense = experiment.defense
        if not isinstance(defense, AdditiveNoise) or defense.scale == 0:
            raise SenselessError(
                f"metric=smoothing certifies additive noise, and this is {defense.name}; choose "
                "defense=additive_noise with defense.sigma > 0"
            )
        for name in self.certificates:
            if CERTIFICATES[name].noise != defense.noise:
                raise SenselessError(
                    f"the certificate {name} is proved for {CERTIFICATES[name].noise} noise, and "
                    f"defense.noise is {defense.noise}"
                )

    def measure(self, stages: Stages) -> Measurement:
        """`vote_accuracy`: of the majority. `CERTIFICATE_abstained`: share of images without a guarantee.

        `CERTIFICATE_radius`: mean radius, 0 where the label is wrong (Zhai et al. 2020, MACER, section 3).
        `CERTIFICATE_at_RADIUS`: certified accuracy. `_times_095`: the same times 0.95, as the paper has it.
        """
        assert isinstance(stages.defense, AdditiveNoise)
        labels = stages.images.labels
        votes = stages.votes(adversarial=False, purpose="certify", draws=self.draws)
        guesses = votes
        if self.guess_draws:
            guesses = stages.votes(adversarial=False, purpose="guess", draws=self.guess_draws)
        right = (guesses.argmax(1) == labels).unsqueeze(0)
        estimates = {"vote_accuracy": proportion(right, title="accuracy of the majority vote")}
        counts = {"ids": stages.images.ids, "labels": labels, "votes": votes, "guesses": guesses.clone()}
        for name in self.certificates:
            found = certified(
                guesses,
                votes,
                certificate=name,
                scale=stages.defense.scale,
                alpha=self.alpha,
                interval="binary" if name == "cohen" else self.interval,
            )
            counts[f"{name}_radius"], counts[f"{name}_label"] = found.radius, found.labels
            estimates[f"{name}_abstained"] = proportion(
                (found.labels == ABSTAIN).unsqueeze(0), title=f"{name}: images without a guarantee"
            )
            if found.radius.isfinite().all():
                estimates[f"{name}_radius"] = average(
                    found.radius * (found.labels == labels),
                    unit="",
                    title=f"{name}: mean certified {found.norm} radius, 0 where the label is wrong",
                )
            for radius in self.radii:
                right = found.right_within(labels, radius).unsqueeze(0)
                title = f"{name}: certified accuracy, {found.norm} radius {radius:g}"
                estimates[f"{name}_at_{radius:g}"] = proportion(right, title=title)
                if name != "cohen":
                    estimates[f"{name}_at_{radius:g}_times_095"] = proportion(
                        PAPER_FACTOR * right.double(), title=f"{title}, times 0.95"
                    )
        return Measurement(estimates, counts, {"note": self._note(stages.defense)})

    def _note(self, defense: AdditiveNoise) -> str:
        norms = ", ".join(f"{name} ({CERTIFICATES[name].norm})" for name in self.certificates)
        guesses = f"{self.guess_draws} others name" if self.guess_draws else "the same draws name"
        failure = f"each image's guarantee fails with at most {self.alpha:g}"
        if self.interval == "sison_glaz":
            failure = "by approximate intervals (Sison & Glaz), for which unanimous votes are certainty"
        return (
            f"certified: {norms}; {defense.noise} noise of scale {defense.scale:.4g} in [0, 1]; {self.draws} "
            f"draws, {guesses} the label; {failure}"
        )
