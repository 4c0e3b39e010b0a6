"""The attacker who knows the defense's draws: the deterministic white box of the purification literature."""

from typing import Any

from torch import nn

from vqexp.adversaries.view import RandomView, View
from vqexp.adversaries.white_box import WhiteBox
from vqexp.core.errors import SenselessError
from vqexp.core.random_module import is_random
from vqexp.defenses import Defense, Foreign, defend


class KnownRandomness(WhiteBox):
    """Attack and evaluation use the same `samples` draws, the same for every image.

    The defense is then a fixed function, and attacks for deterministic models apply as they are.
    The other parameters are those of `WhiteBox`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.fixed_draws = self.samples
        self.summary += "; attack and evaluation use the same draws"

    def check(self, defense: Defense) -> None:
        """Refuse a defense without randomness to know, or whose draws cannot be asked for by number."""
        super().check(defense)
        if not is_random(defense):
            raise SenselessError(
                "adversary=known_randomness knows draws, but this defense has none; choose ste or exact"
            )
        if isinstance(defense, Foreign) and not defense.preprocesses:
            raise SenselessError(
                f"adversary=known_randomness asks for draws by number, but those of {defense.name} depend on "
                "the batch (it wraps the classifier by itself, and is no vqexp.defenses.Defense)"
            )

    def view(self, classifier: nn.Module, defense: Defense) -> View:
        """The defended classifier on the evaluation's own draws."""
        return RandomView(
            defend(classifier, self.estimator(defense)),
            samples=self.samples,
            average=self.average,
            fixed="report",
            memory_limit=self.memory_limit,
        )
