"""The inner attack of adversarial training: PGD in an l-inf ball against f as it is now."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.adversaries.view import View
from vqexp.attacks.base import project, refuse_nan
from vqexp.attacks.losses import ce
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import check_number, one_of, require
from vqexp.core.modes import evaluating
from vqexp.core.random_module import bound
from vqexp.training.step import OWN, Batch, Step

STARTS = ("none", "uniform", "gaussian")
MOST = OWN - 12  # steps, a draw each
GAUSSIAN = 0.001  # standard deviation of TRADES' start


@dataclass(kw_only=True)
class InnerAttack:
    """Steps up the sign of the gradient, each projected to the ball.

    eps: the ball's radius, and step_size: > 0, in units of [0, 1] pixels. steps: 1 to 500.
    start: `none` (the image), `uniform` (in the ball) or `gaussian` (noise of standard deviation 0.001).
    loss: `ce` (cross-entropy with the label) or `kl` (divergence from f's output on the clean image: TRADES).
    draws: of f's random modules, `fresh` at every gradient or `held` for the whole attack (CTRW); never those
    of the update. mode: f's during the attack, `eval` or `train`. `eval` leaves batch normalization's
    statistics alone, as in TRADES and in the `robustness` library of Madry's group.
    """

    eps: float
    steps: int
    step_size: float
    start: str = "uniform"
    loss: str = "ce"
    draws: str = "fresh"
    mode: str = "eval"

    def __post_init__(self) -> None:
        where = "training.objective.inner"
        check_number(f"{where}.eps", self.eps, above=0, high=1)
        check_number(f"{where}.step_size", self.step_size, above=0, high=1)
        check_number(f"{where}.steps", self.steps, low=1, high=MOST, integer=True)
        one_of(f"{where}.start", self.start, STARTS)
        one_of(f"{where}.loss", self.loss, ("ce", "kl"))
        one_of(f"{where}.draws", self.draws, ("fresh", "held"))
        one_of(f"{where}.mode", self.mode, ("eval", "train"))

    def perturb(self, model: nn.Module, batch: Batch, step: Step) -> Tensor:
        """Returns adversarial images (N, C, H, W) in [0, 1], without a gradient.

        The start follows torch's global generator, which the loop seeds by (seed, epoch).
        """
        images, loss = batch.images, ce if self.loss == "ce" else kl
        # in float16 small gradients would be zero, and their signs with them
        with torch.autocast(images.device.type, enabled=False), self._mode(model):
            view, point, target = View(model), self._start(images), batch.labels
            total = torch.zeros((), device=images.device)  # NaN if any gradient is
            if self.loss == "kl":
                with torch.no_grad(), bound(model, step.draw(batch.ids, 1)):
                    target = model(images)
            for number in range(self.steps):
                part = 1 if self.draws == "held" else 2 + number
                with bound(model, step.draw(batch.ids, part)):
                    gradient, _ = view.gradient(point, target, loss)
                total += gradient.sum()
                point = project(point + self.step_size * gradient.sign(), images, self.eps, "linf")
        refuse_nan("gradient", total)  # once an attack: a GPU waits to be read
        return point.detach()

    def _mode(self, model: nn.Module) -> AbstractContextManager[None]:
        return evaluating(model) if self.mode == "eval" else nullcontext()

    def _start(self, images: Tensor) -> Tensor:
        if self.start == "none":
            return images
        randomness = Randomness(int(torch.randint(2**31, ())), torch.arange(len(images)), images.device)
        shape = images.shape[1:]
        if self.start == "uniform":
            noise = self.eps * (2 * randomness.uniform(*shape) - 1)
        else:
            noise = GAUSSIAN * randomness.normal(shape)
        return project(images + noise.to(images), images, self.eps, "linf")


def kl(logits: Tensor, clean: Tensor) -> Tensor:
    """Divergence KL(clean || adversarial) of the softmax outputs, (N,)."""
    divergence = F.kl_div(logits.log_softmax(1), clean.log_softmax(1), reduction="none", log_target=True)
    return divergence.sum(1)


def check_inner(value: Any) -> None:
    """Raises `ConfigError` unless an objective's `inner` is an `InnerAttack`."""
    known = isinstance(value, InnerAttack)
    require(known, f"training.objective.inner is {value!r}; it must be a vqexp.training.InnerAttack")
