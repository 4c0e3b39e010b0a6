"""Adversaries that know the defense and differentiate it, on draws of their own."""

from typing import ClassVar

from torch import nn

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.estimators import StraightThrough
from vqexp.adversaries.view import RandomView, View
from vqexp.core.errors import SenselessError, check_number, one_of
from vqexp.core.random_module import is_random
from vqexp.defenses import Defense, NoDefense, defend

AVERAGES = ("loss", "output")


class WhiteBox(Adversary):
    """Knows f and the defense, not the draws of the evaluation.

    gradient: how the defense is differentiated, one of `GRADIENTS`.
    samples: fresh draws that each gradient averages over, >= 1 (more than one: EOT).
    average: `loss` (mean of the draws' loss gradients) or `output` (loss of the mean softmax; eq. 14).
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
        samples: int = 1,
        average: str = "loss",
        select: int = 10,
        memory_limit: float | None = None,
        cost: str = "single",
    ) -> None:
        super().__init__(cost=cost)
        one_of("adversary.gradient", gradient, self.GRADIENTS)
        check_number("adversary.samples", samples, low=1, integer=True)
        one_of("adversary.average", average, AVERAGES)
        check_number("adversary.select", select, low=1, integer=True)
        if memory_limit is not None:
            check_number("adversary.memory_limit", memory_limit, above=0)
        self.gradient, self.samples, self.average = gradient, samples, average
        self.select, self.memory_limit = select, memory_limit
        what = {"loss": "loss gradients", "output": "outputs"}[average]
        draws = f", mean of {what} over {samples} draws" if samples > 1 else ""
        self.summary = f"this attacker knows the defense: {self.GRADIENTS[gradient]}{draws}"

    def check(self, defense: Defense) -> None:
        """Refuse what cannot be averaged or differentiated, with the reason."""
        if isinstance(defense, NoDefense):
            raise SenselessError(
                "there is no defense to know; adversary=oblivious is the white box of defense=none"
            )
        if self.samples > 1 and not is_random(defense):
            raise SenselessError(
                f"adversary.samples is {self.samples}, but all draws of this defense are the same; "
                "adversary.samples=1 (adversary=ste) is its white box"
            )
        if self.gradient != "exact" and defense.inside:
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

    def estimator(self, defense: Defense) -> nn.Module:
        """The defense with the gradient that this attacker follows."""
        return StraightThrough(defense) if self.gradient == "ste" else defense

    def view(self, classifier: nn.Module, defense: Defense) -> View:
        """The defended classifier on fresh draws of the purpose `attack`."""
        model = defend(classifier, self.estimator(defense))
        if not is_random(model):
            return View(model)
        return RandomView(model, samples=self.samples, average=self.average, memory_limit=self.memory_limit)
