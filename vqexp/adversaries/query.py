"""The attacker without gradients, who may only ask the defended classifier for its scores."""

import torch
from torch import Tensor, nn

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.view import Loss, RandomView
from vqexp.core.errors import SenselessError, check_number
from vqexp.core.random_module import is_random
from vqexp.defenses import Defense


class QueryView(RandomView):
    """Scores of the defended classifier: the log of the mean softmax over `samples` fresh draws a call."""

    differentiable = False

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        return super().forward(images)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """There is none: raises `SenselessError`."""
        raise SenselessError("adversary=query sees scores alone, and this attack needs their gradient")


class Query(Adversary):
    """May ask for scores of the defended classifier, as often as the attack likes, on fresh draws.

    samples: draws that each answer averages over, >= 1; 1 where the defense is fixed.
    memory_limit: MiB, > 0, or None (`RandomView`); more draws are taken one batch after the other.
    Raises `ConfigError` for values out of range.
    """

    differentiable = False

    def __init__(
        self,
        *,
        samples: int,
        memory_limit: float | None = None,
        cost: str = "averaged",
        statistics: str | None = None,
    ) -> None:
        super().__init__(cost=cost, statistics=statistics)
        check_number("adversary.samples", samples, low=1, integer=True)
        if memory_limit is not None:
            check_number("adversary.memory_limit", memory_limit, above=0)
        self.samples, self.memory_limit = samples, memory_limit
        draws = f", mean over {samples} draws" if samples > 1 else ""
        self.summary = f"this attacker sees scores of the defended classifier alone, no gradient{draws}"

    def check(self, defense: Defense) -> None:
        """Refuse an average over draws that are all the same."""
        if self.samples > 1 and not defense.random:
            raise SenselessError(
                f"adversary.samples is {self.samples}, but all draws of this defense are the same; "
                "set adversary.samples=1"
            )

    def view(self, classifier: nn.Module, defense: Defense) -> QueryView:
        """Scores on fresh draws of the purpose `attack`."""
        model = defense.wrap(classifier)
        view = QueryView(model, samples=self.samples, memory_limit=self.memory_limit)
        view.random = is_random(model)
        view.decides = not view.random
        return view
