"""What an attack is, and the ball it must stay in."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.view import Loss, View
from vqexp.errors import WorkError, check_number, one_of

TOLERANCE = 1e-6


@dataclass
class Adversarial:
    """images (N, C, H, W) in [0, 1]; tensors (N, ...): what the attack knows of each; facts: its log.

    candidates: None, or (M, N, C, H, W), points among which the attack cannot choose because its view is
    random; whoever judges them picks one for each image.
    """

    images: Tensor
    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    candidates: Tensor | None = None


class Attack:
    """Perturbs images inside the eps-ball and the box [0, 1], before any defense.

    norm: one of `NORMS`. eps: radius in units of [0, 1] pixels, >= 0. batch_size: images a chunk, >= 1.
    cost: how dear an image is, `light`, `heavy` or `extreme`; the scale says how many images each gets.
    Raises `ConfigError` for values out of range.
    """

    VERSION = 1
    needs_gradient = True  # of the view; False: its logits are enough
    NORMS: ClassVar[tuple[str, ...]] = ("linf", "l2")
    perturbs = True  # False: there is nothing to attack and no adversarial image

    def __init__(self, *, eps: float, norm: str = "linf", batch_size: int = 100, cost: str = "light") -> None:
        check_number("attack.eps", eps, low=0)
        one_of("attack.norm", norm, self.NORMS)
        check_number("attack.batch_size", batch_size, low=1, integer=True)
        self.eps, self.norm, self.batch_size = float(eps), norm, batch_size

    def check(self, adversary: Adversary, defense: nn.Module) -> None:
        """Raise `ConfigError` if this attack makes no sense on what `adversary` sees of `defense`."""

    def perturb(self, view: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        """Adversarial images for one chunk; all randomness comes from `seed`."""
        raise NotImplementedError

    def run(self, view: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        """`perturb`, checked: the largest violation of ball and box goes into the facts.

        Raises `WorkError` if it exceeds 1e-6.
        """
        if isinstance(view, View):
            view.start(seed)
        found = self.perturb(view, images, labels, seed)
        found.images = found.images.detach()
        points = [found.images] if found.candidates is None else [found.images, *found.candidates]
        violation = max((self.violation(images, point) for point in points), key=_nan_first)
        if not violation <= TOLERANCE:  # NaN fails too
            raise WorkError(f"{type(self).__name__} left its {self.norm} ball or [0, 1] by {violation:.2g}")
        found.facts["violation"] = violation
        return found

    def violation(self, images: Tensor, adversarial: Tensor) -> float:
        """How far the worst pixel or image is outside the ball or the box; 0 if none is."""
        if not len(images):
            return 0.0
        box = torch.maximum(-adversarial, adversarial - 1).max()
        ball = distance(adversarial - images, self.norm).max() - self.eps
        return max(float(box), float(ball), 0.0) if torch.isfinite(adversarial).all() else float("nan")


def distance(delta: Tensor, norm: str) -> Tensor:
    """Norm of each image's perturbation (N, C, H, W) -> (N,), in float64."""
    flat = delta.flatten(1).double()
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def project(adversarial: Tensor, images: Tensor, eps: float, norm: str) -> Tensor:
    """Into the eps-ball around `images`, then into [0, 1] (which cannot leave the ball again)."""
    if norm == "linf":
        return adversarial.clamp(min=images - eps, max=images + eps).clamp(0, 1)
    delta = adversarial.double() - images
    factor = (eps / distance(delta, norm).clamp(min=1e-12)).clamp(max=1)
    delta *= factor.view(-1, 1, 1, 1)
    rounded = (images + delta).to(images.dtype)
    # in a large image, roundings that all go outwards add up to a visible step out of the ball
    outwards = (rounded.double() - images).abs() > delta.abs()
    return torch.where(outwards, rounded.nextafter(images), rounded).clamp(0, 1)


def input_gradient(view: nn.Module, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """(gradient (N, C, H, W), loss (N,)) of `loss(view(images), labels)`, as the view gives it.

    Raises `WorkError` if the gradient is NaN anywhere.
    """
    view = view if isinstance(view, View) else View(view)
    gradient, terms = view.gradient(images, labels, loss)
    refuse_nan("gradient", gradient)
    return gradient, terms


def keep_higher(best: Tensor, best_loss: Tensor, point: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """Image by image whichever of two points (N, C, H, W) has the higher loss (N,), and that loss.

    Raises `WorkError` if `loss` is NaN anywhere.
    """
    refuse_nan("loss", loss)
    better = loss > best_loss
    return torch.where(better.view(-1, 1, 1, 1), point, best), torch.where(better, loss, best_loss)


def refuse_nan(what: str, values: Tensor) -> None:
    """Raise `WorkError` on a NaN, with which an attack would quietly give the clean image back."""
    if values.isnan().any():
        raise WorkError(f"the {what} of what the attack sees is NaN: it would attack nothing")


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value
