"""The attacker who does not know f, and attacks a surrogate instead (Papernot et al. 2016)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from vqexp.adversaries.view import View, view_of
from vqexp.adversaries.white_box import WhiteBox
from vqexp.core.errors import SenselessError, check_number, require
from vqexp.defenses import Defense, NoDefense


class Transfer(WhiteBox):
    """Attacks another classifier, alone or behind the defense; the images are judged on f.

    classifier, training: settings of the surrogate and its training. With a `_target_` they stand for
    themselves, without one they are changes to f's. seed: of its training, in [0, 2^31).
    defended: the surrogate stands behind the defense, differentiated straight-through. The other parameters
    are those of `WhiteBox` and belong to that case.
    Raises `ConfigError` for values out of range.
    """

    PLAIN: ClassVar[tuple[str, ...]] = ("classifier", "training")  # settings, of which it builds nothing
    GRADIENTS: ClassVar[dict[str, str]] = {"ste": "straight-through gradient"}

    def __init__(
        self,
        *,
        classifier: Mapping[str, Any],
        training: Mapping[str, Any],
        seed: int,
        defended: bool,
        **settings: Any,
    ) -> None:
        super().__init__(gradient="ste", **settings)
        for name, value in (("classifier", classifier), ("training", training)):
            require(isinstance(value, Mapping), f"adversary.{name} is {value!r}; it must hold settings")
        check_number("adversary.seed", seed, low=0, high=2**31 - 1, integer=True)
        require(isinstance(defended, bool), f"adversary.defended is {defended!r}; it must be true or false")
        self.surrogate = {"classifier": classifier, "training": training, "seed": seed}
        self.sees_defense = defended
        where = f"behind the defense ({self.summary.split(': ')[1]})" if defended else "without the defense"
        self.summary = f"this attacker does not know f: it attacks a surrogate, {where}"

    def check(self, defense: Defense) -> None:
        """Refuse, behind the defense, what `WhiteBox` refuses; without it, an average over draws."""
        if not self.sees_defense:
            if self.samples > 1:
                raise SenselessError(
                    f"adversary.samples is {self.samples}, but with adversary.defended=false there is "
                    "nothing random to average over; set adversary.samples=1"
                )
        elif isinstance(defense, NoDefense):
            raise SenselessError("there is no defense for the surrogate; set adversary.defended=false")
        else:
            super().check(defense)

    def view(self, classifier: nn.Module, defense: Defense) -> View:
        """The surrogate, given as `classifier`, alone or behind the defense."""
        if self.sees_defense:
            return super().view(classifier, defense)
        return view_of(classifier)
