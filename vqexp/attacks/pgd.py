"""Projected gradient descent (Madry et al. 2018), and its one-step ancestor FGSM (Goodfellow et al. 2015)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vqexp.attacks.base import Adversarial, Attack, distance, input_gradient, project, refuse_nan
from vqexp.errors import check_number, require


class PGD(Attack):
    """`steps` ascent steps of size `step_size` on the cross-entropy, projected after each.

    steps: >= 1. step_size: >= 0, in units of [0, 1] pixels (l-inf: per pixel; l2: length of the step).
    random_start: from a random point of the ball. restarts: >= 1; of several, the point with the
    highest loss is kept, image by image.
    """

    def __init__(
        self, *, steps: int, step_size: float, random_start: bool = True, restarts: int = 1, **settings: Any
    ) -> None:
        super().__init__(**settings)
        check_number("attack.steps", steps, low=1, integer=True)
        check_number("attack.step_size", step_size, low=0)
        check_number("attack.restarts", restarts, low=1, integer=True)
        require(
            isinstance(random_start, bool),
            f"attack.random_start is {random_start!r}; it must be true or false",
        )
        self.steps, self.step_size = steps, float(step_size)
        self.random_start, self.restarts = random_start, restarts

    def perturb(self, view: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        """The highest-loss end point of all restarts; `loss` (N,) is its cross-entropy."""
        generator = torch.Generator().manual_seed(seed)  # on the CPU: the same start on every device
        best, best_loss = images, torch.full((len(images),), -torch.inf, device=images.device)
        for _ in range(self.restarts):
            candidate = self._start(images, generator) if self.random_start else images
            for _ in range(self.steps):
                gradient, _ = input_gradient(view, candidate, lambda logits: self.loss(logits, labels))
                candidate = project(candidate + self._step(gradient), images, self.eps, self.norm)
            with torch.no_grad():
                loss = self.loss(view(candidate), labels)
            refuse_nan("loss", loss)
            better = loss > best_loss
            best = torch.where(better.view(-1, 1, 1, 1), candidate, best)
            best_loss = torch.where(better, loss, best_loss)
        return Adversarial(best, {"loss": best_loss})

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What is maximized, (N,)."""
        return cross_entropy(logits, labels, reduction="none")

    def _start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform in the l-inf ball; in l2 a uniform direction at a uniform share of the radius."""
        noise = torch.empty(images.shape)
        if self.norm == "linf":
            noise.uniform_(-self.eps, self.eps, generator=generator)
        else:
            noise.normal_(generator=generator)
            radius = self.eps * torch.rand(len(images), generator=generator)
            noise *= (radius / distance(noise, "l2")).float().view(-1, 1, 1, 1)
        return project(images + noise.to(images), images, self.eps, self.norm)

    def _step(self, gradient: Tensor) -> Tensor:
        if self.norm == "linf":
            return self.step_size * gradient.sign()
        length = distance(gradient, "l2").clamp(min=1e-12).to(gradient.dtype)
        return self.step_size * gradient / length.view(-1, 1, 1, 1)


class FGSM(PGD):
    """One step of size eps from the clean image."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(steps=1, step_size=settings["eps"], random_start=False, **settings)


class NoAttack(Attack):
    """The clean images, for natural accuracy alone."""

    perturbs = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(eps=0.0, **settings)

    def perturb(self, view: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        """`images` themselves."""
        return Adversarial(images)
