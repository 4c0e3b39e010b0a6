"""What the attacker knows: which differentiable view of the defended classifier the attack sees."""

from typing import Any

from torch import nn

from vqexp.classifiers import STATISTICS
from vqexp.core.errors import one_of
from vqexp.defenses import Defense

COSTS = ("free", "single", "averaged")


class Adversary:
    """Subclasses say what they see, refuse what makes no sense, and build the view.

    cost: what a gradient costs, one of `COSTS`; the scale says how many images each gets.
    statistics: those by which BatchNorm normalizes in the f that is attacked, `running` or `batch`; None: as
    in the f that is judged.
    """

    VERSION = 1
    # False: the view is the bare classifier, so adversarial images serve every defense
    sees_defense: bool = True
    # False: the view has no gradient, so attacks that need one are refused
    differentiable: bool = True
    # draws that rank an attack's candidates, where the view is random
    select: int = 1
    # which draws the attack sees, one of `vqexp.adversaries.view.DRAWS`
    draws: str = "fresh"
    # a number: the evaluation uses this many draws, which the attacker knows
    fixed_draws: int | None = None
    # the classifier that stands in for f, where the adversary does not know f: its settings as changes to
    # f's, those of its training likewise, and its seed
    surrogate: dict[str, Any] | None = None
    summary: str = ""
    statistics: str | None = None

    def __init__(self, *, cost: str, statistics: str | None = None) -> None:
        one_of("adversary.cost", cost, COSTS)
        if statistics is not None:
            one_of("adversary.statistics", statistics, STATISTICS)
        self.statistics = statistics

    def check(self, defense: Defense) -> None:
        """Raise `ConfigError` if this adversary makes no sense against `defense`."""

    def knows(self, defense: Defense) -> str:
        """Says what this attacker knows of f and `defense`."""
        return self.summary

    def sees_randomness(self, defense: Defense) -> bool:
        """Whether the view of `defense` is random, before there is one."""
        return self.sees_defense and self.draws == "fresh" and defense.random

    def view(self, classifier: nn.Module, defense: Defense) -> nn.Module:
        """What the attack sees: images (N, C, H, W) in [0, 1] -> logits; a `View` if random.

        `classifier` is f, or the surrogate where there is one.
        """
        raise NotImplementedError
