"""Adversaries that know the defense and differentiate it."""

from typing import ClassVar

from torch import nn

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.estimators import StraightThrough
from vqexp.adversaries.view import DRAWS, RandomView, View
from vqexp.core.errors import SenselessError, check_number, one_of
from vqexp.core.random_module import is_random
from vqexp.defenses import Defense, Foreign, NoDefense

AVERAGES = {
    "loss": "mean of loss gradients over {} draws",
    "output": "mean of outputs over {} draws",
    "worst": "mean of loss gradients over the quarter of {} draws that resist most",
}
TOLD = {
    "fresh": "",
    "held": "; its draws are held during the attack, and others judge",
    "evaluation": "; attack and evaluation use the same draws",
    "mean": "; it attacks the mean of what is random, and draws judge",
}


class WhiteBox(Adversary):
    """Knows f and the defense.

    gradient: how the defense is differentiated, one of `GRADIENTS`.
    draws: which draws the attack sees: `fresh` ones at every call; `held` ones, the same until the attack
    starts anew (Ma et al. 2023, Algorithm 2); those of the `evaluation`, which then uses no others, so that
    the defense is a fixed function; the `mean` of what is random, such as no noise.
    samples: draws that each gradient averages over, >= 1 (more than one: EOT).
    average: `loss` (mean of the draws' loss gradients), `output` (loss of the mean softmax; eq. 14),
    `worst` (mean over the quarter of the draws with the lowest loss, image by image).
    select: draws, neither the attack's nor the evaluation's, that rank an attack's candidates, >= 1.
    memory_limit: MiB for what the backward pass needs, > 0, or None (`RandomView`).
    Raises `ConfigError` for values out of range.
    """

    GRADIENTS: ClassVar[dict[str, str]] = {
        "ste": "straight-through gradient",
        "exact": "the true gradient of each draw",
    }

    def __init__(
        self,
        *,
        gradient: str,
        draws: str = "fresh",
        samples: int = 1,
        average: str = "loss",
        select: int = 10,
        memory_limit: float | None = None,
        cost: str = "single",
        statistics: str | None = None,
    ) -> None:
        super().__init__(cost=cost, statistics=statistics)
        one_of("adversary.gradient", gradient, self.GRADIENTS)
        one_of("adversary.draws", draws, DRAWS)
        check_number("adversary.samples", samples, low=1, high=1 if draws == "mean" else None, integer=True)
        one_of("adversary.average", average, AVERAGES)
        check_number("adversary.select", select, low=1, integer=True)
        if memory_limit is not None:
            check_number("adversary.memory_limit", memory_limit, above=0)
        self.gradient, self.draws, self.samples, self.average = gradient, draws, samples, average
        self.select, self.memory_limit = select, memory_limit
        self.fixed_draws = samples if draws == "evaluation" else None
        averaged = f", {AVERAGES[average].format(samples)}" if samples > 1 else ""
        self.summary = f"this attacker knows the defense: {self.GRADIENTS[gradient]}{averaged}{TOLD[draws]}"

    def check(self, defense: Defense) -> None:
        """Refuse what cannot be averaged or differentiated, with the reason."""
        if isinstance(defense, NoDefense):
            raise SenselessError(
                "there is no defense to know; adversary=oblivious is the white box of defense=none"
            )
        if self.samples > 1 and not defense.random:
            raise SenselessError(
                f"adversary.samples is {self.samples}, but all draws of this defense are the same; "
                "adversary.samples=1 (adversary=ste) is its white box"
            )
        self._check_draws(defense)
        if self.gradient != "exact" and defense.installs:
            raise SenselessError(
                f"adversary.gradient={self.gradient} replaces the gradient of a preprocessor, but this "
                "defense is inside f; choose exact"
            )
        if self.gradient != "exact" and not defense.preprocesses:
            raise SenselessError(
                f"adversary.gradient={self.gradient} replaces the gradient of a preprocessor, but "
                f"{defense.name} acts on more than f's input; choose exact or oblivious"
            )
        if self.gradient == "exact" and not defense.differentiable:
            raise SenselessError(
                f"adversary.gradient=exact needs a gradient, but {defense.name} has none; choose ste"
            )

    def _check_draws(self, defense: Defense) -> None:
        if self.draws != "fresh" and not defense.random:
            raise SenselessError(
                f"adversary.draws={self.draws}, but this defense has no draws; choose ste or exact"
            )
        if self.draws == "mean" and not defense.has_mean:
            raise SenselessError(
                f"adversary.draws=mean needs the mean of what is random, and {defense.name} has none; "
                "choose fresh, held or evaluation"
            )
        by_batch = isinstance(defense, Foreign) and not defense.preprocesses
        if self.draws == "evaluation" and by_batch:
            raise SenselessError(
                f"adversary.draws=evaluation asks for draws by number, but those of {defense.name} depend on "
                "the batch (it wraps the classifier by itself, and is no vqexp.defenses.Defense)"
            )

    def estimator(self, defense: Defense) -> Defense:
        """The defense with the gradient that this attacker follows."""
        return StraightThrough(defense) if self.gradient == "ste" else defense

    def view(self, classifier: nn.Module, defense: Defense) -> View:
        """The defended classifier on the draws that this attacker sees."""
        estimator = self.estimator(defense)
        model = estimator.wrap(classifier)
        if not is_random(model):
            return View(model)
        return RandomView(
            model,
            samples=self.samples,
            average=self.average,
            draws=self.draws,
            memory_limit=self.memory_limit,
        )
