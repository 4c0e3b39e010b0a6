"""Training by gradient descent: an objective, minimized by a recipe, and the epoch that is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import nn

from vqexp.classifiers import load_checkpoint
from vqexp.core.errors import check_number, one_of, require
from vqexp.loggers import Logger
from vqexp.training.base import Training
from vqexp.training.loop import fit
from vqexp.training.objectives import Objective
from vqexp.training.recipe import Recipe
from vqexp.training.selection import METRICS, SELECTIONS, Selection, check_metric, held_out

if TYPE_CHECKING:
    from vqexp.data import Images

PLAIN = (bool, int, float, str, type(None), nn.Module)


@dataclass(kw_only=True)
class Descent(Recipe, Training):
    """Minimizes `objective` as the recipe says; the recipe's settings are here, too.

    start: None trains from the classifier's own initial parameters; the path of a checkpoint fine-tunes it.
    selection: which epoch's f is kept. `last`; `held_out`, the best on the share `held_out` of the training
    images (at most 1,000), which then is not trained on; `test`, the best on the test set, as in papers that
    report it so.
    selection_metric: what is best, `natural_accuracy` or `robust_accuracy` (10 steps of PGD).
    Raises `ConfigError` for settings out of range.
    """

    PARTIAL: ClassVar[tuple[str, ...]] = ("optimizer", "schedule")

    objective: Objective
    start: str | None = None
    selection: str = "last"
    held_out: float = 0.1
    selection_metric: str = METRICS[0]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            isinstance(self.objective, Objective),
            f"training.objective is {self.objective!r}; it must be a vqexp.training.Objective",
        )
        valid = self.start is None or (isinstance(self.start, str) and self.start != "")
        require(valid, f"training.start is {self.start!r}; it must be null or the path of a checkpoint")
        one_of("training.selection", self.selection, SELECTIONS)
        check_number("training.held_out", self.held_out, above=0, below=1)
        one_of("training.selection_metric", self.selection_metric, METRICS)
        check_metric(self.selection_metric, self.objective)

    @property
    def uses_defense(self) -> bool:
        """Whether the objective does."""
        return self.objective.uses_defense

    @property
    def uses_test(self) -> bool:
        """Whether the test images select the epoch."""
        return self.selection == "test"

    @property
    def files(self) -> Mapping[str, Path]:
        """The checkpoint that f starts from, if any."""
        return {} if self.start is None else {"start": Path(self.start)}

    def behind(self, defense: nn.Module) -> Self:
        """Returns the same training with f behind `defense`; raises `ConfigError` if they do not fit."""
        self.objective.check(defense)
        return replace(self, objective=self.objective.behind(defense))

    def initialize(self, classifier: nn.Module) -> None:
        """Loads `start`. Raises `ConfigError` if it is absent, broken, or of another classifier."""
        if self.start is not None:
            load_checkpoint(classifier, self.start)
        self.objective.initialize(classifier)

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
        """As `Training.fit`; returns what `loop.fit` does and `selection`."""
        self.initialize(classifier)
        judged = test if self.uses_test else None
        require(judged is not None or not self.uses_test, "training.selection=test needs the test images")
        if self.selection == "held_out":
            train, judged = held_out(train, self.held_out, seed)
        selection = None
        if judged is not None:
            selection = Selection(judged, self.objective, self, device, self.selection_metric)
        found = fit(
            classifier,
            train,
            self.objective,
            self,
            seed=seed,
            device=device,
            selection=selection,
            state_path=state_path,
            settings=str(_told(self)),
            logger=logger,
        )
        return {**found, "selection": self.selection}


def _told(value: Any) -> Any:
    """What tells a training's settings from another's, as plain data and the text of modules."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_told(entry) for entry in value]
    if isinstance(value, Mapping):
        return {name: _told(entry) for name, entry in value.items()}
    if isinstance(value, partial):
        return [_told(value.func), _told(value.args), _told(value.keywords)]
    if hasattr(value, "__qualname__"):
        return value.__qualname__
    return [type(value).__qualname__, _told(getattr(value, "__dict__", {}))]
