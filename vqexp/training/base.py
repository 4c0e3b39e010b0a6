"""What a run asks of a training, whatever it does inside."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import nn

from vqexp.loggers import Logger

if TYPE_CHECKING:
    from vqexp.data import Images


class Training:
    """A training of your own subclasses this and implements `fit`; choose it with `training._target_=`.

    Its constructor takes the settings `training.NAME` and raises `ConfigError` for values out of range.
    """

    VERSION: ClassVar[int] = 1  # raised whenever results change

    @property
    def uses_defense(self) -> bool:
        """Whether the defense determines f, and is part of its key."""
        return False

    @property
    def uses_test(self) -> bool:
        """Whether `fit` looks at the test images, which then are part of f's key."""
        return False

    @property
    def files(self) -> Mapping[str, Path]:
        """Settings that name files, whose contents determine f."""
        return {}

    def behind(self, defense: nn.Module) -> Self:
        """Returns the same training with f behind `defense`; raises `ConfigError` if they do not fit."""
        return self

    def initialize(self, classifier: nn.Module) -> None:
        """Sets the parameters that `fit` starts from; raises `ConfigError` if they cannot be had."""

    def fit(
        self,
        classifier: nn.Module,
        train: "Images",
        *,
        seed: int,
        device: torch.device,
        state_path: Path | None = None,
        logger: Logger | None = None,
        test: "Images | None" = None,
    ) -> dict[str, Any]:
        """Initializes and trains `classifier` in place on `device` and leaves it in evaluation mode.

        All randomness derives from `seed` >= 0. With `state_path`, a training that was killed resumes from
        that file, with the same result. `test` is given where `uses_test`. Returns facts for the record, as
        plain data. Raises `WorkError` if the training fails.
        """
        raise NotImplementedError
