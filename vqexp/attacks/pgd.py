"""Projected gradient descent (Madry et al. 2018), and its one-step ancestor FGSM (Goodfellow et al. 2015)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.view import Loss, View
from vqexp.attacks.base import (
    Adversarial,
    Attack,
    check_step_size,
    distance,
    keep_higher,
    project,
    refuse,
)
from vqexp.attacks.losses import LOSSES, capped, check_classes, margin_loss
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import check_number, one_of, require
from vqexp.core.inputs import inside
from vqexp.core.progress import stepwise
from vqexp.defenses import Defense

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}


class PGD(Attack):
    """`steps` ascent steps of size `step_size` on the loss, projected after each.

    steps: >= 1. step_size: > 0 unless eps is 0, in units of [0, 1] pixels (l-inf: of each pixel, at most 1;
    l2: the step's length).
    loss: `ce`, `dlr` or `margin`. schedule: of the step size, `constant`, `linear` or `cosine` (to zero).
    random_start: from a random point of the ball. restarts: >= 1. keep: points kept of each restart,
    evenly spaced among its steps and the last one among them, 1 to `steps`. confidence: the margin that is
    enough, beyond which a term has no gradient (kappa of Carlini & Wagner 2017), >= 0, for `margin` alone;
    None: none is.

    A random start is a function of the seed and the image's id. On a fixed view the point with the highest
    loss is returned, image by image. On a random one a single loss is luck, so all points are returned as
    candidates.
    """

    VERSION = 2
    by_image = True

    def __init__(
        self,
        *,
        steps: int,
        step_size: float,
        loss: str = "ce",
        schedule: str = "constant",
        random_start: bool = True,
        restarts: int = 1,
        keep: int = 1,
        confidence: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        check_number("attack.steps", steps, low=1, integer=True)
        check_step_size(step_size, self.eps, self.norm)
        one_of("attack.loss", loss, LOSSES)
        one_of("attack.schedule", schedule, SCHEDULES)
        check_number("attack.restarts", restarts, low=1, high=1000, integer=True)
        check_number("attack.keep", keep, low=1, high=steps, integer=True)
        if confidence is not None:
            check_number("attack.confidence", confidence, low=0)
            require(
                LOSSES[loss] is margin_loss,
                f"attack.confidence is a margin; with attack.loss={loss} it must be null",
            )
        require(
            isinstance(random_start, bool),
            f"attack.random_start is {random_start!r}; it must be true or false",
        )
        self.steps, self.step_size, self.schedule = steps, float(step_size), SCHEDULES[schedule]
        self.loss, self.random_start = LOSSES[loss], random_start
        self.restarts, self.keep, self.confidence = restarts, keep, confidence

    def check(self, adversary: Adversary, defense: Defense, num_classes: int) -> None:
        """Refuse a loss that compares more classes than there are."""
        check_classes(self.loss, num_classes)

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The end points; on a fixed view the best of them, with its `loss` (N,).

        `losses` (N, restarts, steps): those met on the way, each on the draws of its step.
        """
        losses: list[Tensor] = []
        candidates = self.walks(view, images, labels, self.loss, randomness, losses)
        found = best_of(view, candidates, labels, self.loss)
        found.tensors["losses"] = torch.stack(losses, 1).unflatten(1, (self.restarts, self.steps))
        return found

    def walks(
        self,
        view: View,
        images: Tensor,
        labels: Tensor,
        loss: Loss,
        randomness: Randomness,
        losses: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """The points kept of all restarts, the last one of each among them. losses: gathers each step's."""
        # after which steps a point is kept
        kept = {round(self.steps * (i + 1) / self.keep) for i in range(self.keep)}
        candidates, climbed = [], capped(loss, self.confidence)
        broken = torch.zeros((), dtype=torch.bool, device=images.device)
        for restart in stepwise(range(self.restarts)):
            if restart:
                view.restart()
            point = self._start(images, randomness) if self.random_start else images
            direction = self.directions()
            for step in stepwise(range(self.steps)):
                with inside():
                    gradient, terms = view.gradient(point, labels, climbed)
                broken |= gradient.isnan().any()
                if losses is not None:
                    losses.append(terms)
                size = self.step_size * self.schedule(step / self.steps)
                point = project(point + size * direction(gradient), images, self.eps, self.norm)
                if step + 1 in kept:
                    candidates.append(point)
        refuse("gradient", broken)
        return candidates

    def _start(self, images: Tensor, randomness: Randomness) -> Tensor:
        """Uniform in the l-inf ball; in l2 a uniform direction at a uniform share of the radius."""
        if self.norm == "linf":
            noise = self.eps * (2 * randomness.uniform(*images.shape[1:]) - 1)
        else:
            noise = randomness.normal(images.shape[1:])
            radius = self.eps * randomness.uniform(1).squeeze(1)
            noise *= (radius / distance(noise, "l2")).float().view(-1, 1, 1, 1)
        return project(images + noise.to(images), images, self.eps, self.norm)

    def directions(self) -> Callable[[Tensor], Tensor]:
        """What makes a step's direction of its gradient, (N, C, H, W) each; anew for every restart."""
        return self.direction

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest ascent: in l-inf the gradient's sign, in l2 the gradient at length 1."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / distance(gradient, "l2").clamp(min=1e-12).to(gradient.dtype).view(-1, 1, 1, 1)


@torch.no_grad()
def best_of(view: View, candidates: list[Tensor], labels: Tensor, loss: Loss) -> Adversarial:
    """Image by image the candidate that a fixed view puts the highest loss on; `loss` and `fooled` (N,).

    On a random view all of them, as candidates.
    """
    if not view.decides:
        return Adversarial(candidates[-1], candidates=torch.stack(candidates))
    best = candidates[0]
    best_loss = torch.full((len(best),), -torch.inf, device=best.device)
    fooled, broken = torch.zeros(2, len(best), dtype=torch.bool, device=best.device)
    for candidate in candidates:
        logits = view(candidate)
        terms = loss(logits, labels)
        broken = broken | terms.isnan()
        fooled = torch.where(terms > best_loss, logits.argmax(1) != labels, fooled)
        best, best_loss = keep_higher(best, best_loss, candidate, terms)
    refuse("loss", broken.any())
    return Adversarial(best, {"loss": best_loss, "fooled": fooled})


class FGSM(PGD):
    """One step of size eps from the clean image."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(steps=1, step_size=settings["eps"], random_start=False, **settings)


class NoAttack(Attack):
    """The clean images, for natural accuracy alone."""

    needs_gradient = False
    perturbs = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(eps=0.0, **settings)

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """`images` themselves."""
        return Adversarial(images)
