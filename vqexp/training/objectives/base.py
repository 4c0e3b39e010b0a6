"""What an objective is."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from vqexp.training.inner import InnerAttack
from vqexp.training.step import Batch, Step


class Objective:
    """A loss to minimize over f. A subclass implements `loss` and overrides what else it needs.

    Its constructor takes the settings `training.objective.NAME`; choose your own with
    `training.objective._target_=my_module.MyObjective`.
    """

    VERSION: ClassVar[int] = 1  # raised whenever results change
    uses_defense: ClassVar[bool] = False  # the defense determines f, and is part of its key
    inner: InnerAttack | None = None  # what attacks the batches of an adversarial objective

    def check(self, defense: nn.Module) -> None:
        """Raises `ConfigError` if f cannot be trained in this way for `defense`."""

    def behind(self, defense: nn.Module) -> Self:
        """Returns the objective for an f that stands behind `defense`; here itself."""
        return self

    def initialize(self, model: nn.Module) -> None:
        """Sets what of the model the training starts from; here all stays as it is."""

    def parameter_groups(self, model: nn.Module) -> Iterable[dict[str, Any]]:
        """The groups that the optimizer gets, each with settings of its own or those of the recipe."""
        return [{"params": list(model.parameters())}]

    def loss(self, model: nn.Module, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """Returns the loss to minimize, a scalar, and the logits (N, classes) that accuracy is shown for.

        The model is in training mode (leave it so), and its random modules read `step.draw(batch.ids)`.
        Torch's global generators are seeded by (seed, epoch), so a step may draw from them. With `amp` it
        runs under autocast and the loss is scaled afterwards; gradients that a step itself takes are not, and
        small ones vanish in float16 unless it leaves autocast.
        """
        raise NotImplementedError

    def after_step(self, model: nn.Module) -> None:
        """Changes the model after each step of the optimizer, say by a projection."""

    def predict(self, model: nn.Module, batch: Batch, step: Step) -> Tensor:
        """Returns the logits (N, classes) by which an epoch is judged; the model is in evaluation mode."""
        return model(batch.images)
