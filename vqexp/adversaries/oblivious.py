"""The attacker of the journal paper's section 6, who does not know that there is a defense."""

from torch import nn

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.view import View, view_of
from vqexp.core.errors import SenselessError
from vqexp.defenses import Defense, NoDefense


class Oblivious(Adversary):
    """Attacks the classifier alone: gradients of f at x, without the preprocessor."""

    sees_defense = False
    summary = "this attacker does not know the defense"

    def knows(self, defense: Defense) -> str:
        """Says that this attacker does not know the defense, if there is one."""
        return "there is no defense to know" if isinstance(defense, NoDefense) else self.summary

    def check(self, defense: Defense) -> None:
        """Refuse a defense inside f: without it there is no f to attack."""
        if defense.installs:
            raise SenselessError(
                "adversary=oblivious attacks f without its preprocessor, but this defense is inside f; "
                "choose an adversary that sees it"
            )

    def view(self, classifier: nn.Module, defense: Defense) -> View:
        """f alone; on fresh draws, where it is random by itself."""
        return view_of(classifier)
