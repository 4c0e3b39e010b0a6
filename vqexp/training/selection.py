"""Which epoch's f is kept: the last, or the best on images that no step saw."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vqexp.core.errors import require
from vqexp.core.keys import seed_of
from vqexp.core.modes import evaluating
from vqexp.core.random_module import bound
from vqexp.training.objectives import Objective
from vqexp.training.recipe import Recipe
from vqexp.training.step import Batch, Step

if TYPE_CHECKING:
    from vqexp.data import Images

SELECTIONS = ("last", "held_out", "test")
METRICS = ("natural_accuracy", "robust_accuracy")
MOST = 1000  # images held out
STEPS, RELATIVE = 10, 0.25  # of the PGD behind `robust_accuracy`: steps, and their size by eps


@dataclass
class Selection:
    """Keeps the first epoch whose accuracy on `images` no other epoch exceeds.

    metric: `natural_accuracy`, or `robust_accuracy` under PGD in the ball of the objective's inner attack.
    best: `epoch` (from 0), `accuracy` and `classifier`, f's state, once an epoch was judged.
    """

    images: "Images"
    objective: Objective
    recipe: Recipe
    device: torch.device
    metric: str = METRICS[0]
    best: dict[str, Any] = field(default_factory=dict)

    def judge(self, model: nn.Module, epoch: int) -> dict[str, float]:
        """Keeps f as it is now if it is the best so far; returns `selection_accuracy`."""
        # draws of an epoch that never comes: the same for every epoch, and seen by no step
        step = Step(self.recipe.epochs, 2**32)
        right = 0
        for rows in torch.arange(len(self.images)).split(self.recipe.batch_size):
            some = self.images.subset(rows)
            labels, ids = some.labels.to(self.device), some.ids.to(self.device)
            batch = Batch(some.pixels(slice(None)).to(self.device), labels, ids)
            with evaluating(model), bound(model, step.draw(ids)):
                if self.metric == "robust_accuracy":
                    batch = batch._replace(images=self._attacked(model, batch, step))
                with torch.no_grad():
                    right += int((self.objective.predict(model, batch, step).argmax(1) == labels).sum())
        accuracy = right / len(self.images)
        if accuracy > self.best.get("accuracy", -1.0):
            state = {name: value.clone() for name, value in model.state_dict().items()}
            self.best = {"epoch": epoch, "accuracy": accuracy, "classifier": state}
        return {"selection_accuracy": accuracy}

    def restore(self, model: nn.Module) -> int:
        """Sets `model` to the best epoch's state; returns its number, from 1."""
        model.load_state_dict(self.best["classifier"])
        return int(self.best["epoch"]) + 1

    def _attacked(self, model: nn.Module, batch: Batch, step: Step) -> Tensor:
        inner = self.objective.inner
        assert inner is not None
        size = RELATIVE * inner.eps
        attack = replace(inner, steps=STEPS, step_size=size, start="uniform", loss="ce", mode="eval")
        return attack.perturb(model, batch, step)


def check_metric(metric: str, objective: Objective) -> None:
    """Raises `ConfigError` for a robust accuracy where the objective names no ball."""
    require(
        metric != "robust_accuracy" or objective.inner is not None,
        "training.selection_metric=robust_accuracy needs the eps of an objective with an inner attack; "
        "choose natural_accuracy",
    )


def held_out(train: "Images", share: float, seed: int) -> tuple["Images", "Images"]:
    """(what is trained on, what is held out): a random `share` of the images, 1 to 1,000 of them."""
    count = max(1, min(MOST, round(share * len(train))))
    require(count < len(train), f"training.selection=held_out needs 2 images; there are {len(train)}")
    generator = torch.Generator().manual_seed(seed_of("held out", seed))
    out = torch.randperm(len(train), generator=generator)[:count]
    kept = torch.ones(len(train), dtype=torch.bool)
    kept[out] = False
    return train.subset(kept), train.subset(out)
