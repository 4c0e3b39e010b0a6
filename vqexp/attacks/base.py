"""What an attack is, and the ball it must stay in."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from vqexp.adversaries.base import Adversary
from vqexp.adversaries.view import View, view_of
from vqexp.attacks.randomness import Randomness
from vqexp.core.by_batch import by_batch
from vqexp.core.errors import SenselessError, WorkError, check_number, one_of
from vqexp.core.inputs import check_images, check_labels, check_logits
from vqexp.core.modes import evaluating
from vqexp.defenses import Defense

TOLERANCE = 1e-6
# On a CPU a matrix product of few rows rounds in another way, and a result would depend on the batch size: a
# smaller batch is filled up by repeating its images, where they are small enough for that to cost little.
FILLED, SMALL = 16, 3 * 64 * 64
LENGTHS = ("steps", "max_iterations", "queries")
WIDE = 1000  # l2 width of the box [0, 1] for images of a million pixel values


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

    def first(self, n: int) -> "Adversarial":
        """What is known of the first n images."""
        candidates = None if self.candidates is None else self.candidates[:, :n]
        tensors = {name: values[:n] for name, values in self.tensors.items()}
        return Adversarial(self.images[:n], tensors, self.facts, candidates)


class Attack:
    """Perturbs images inside the eps-ball and the box [0, 1], before any defense.

    norm: one of `NORMS`. eps: radius in units of [0, 1] pixels, >= 0. batch_size: images a chunk, >= 1.
    cost: the cost of an image, `light`, `heavy` or `extreme`; the scale sets how many images each cost gets.
    Raises `ConfigError` for values out of range.
    """

    VERSION = 1
    needs_gradient = True  # of the view; False: its logits are enough
    NORMS: ClassVar[tuple[str, ...]] = ("linf", "l2")
    perturbs = True  # False: there is nothing to attack and no adversarial image
    by_image = False  # an image's result does not depend on the others of its batch

    def __init__(self, *, eps: float, norm: str = "linf", batch_size: int = 100, cost: str = "light") -> None:
        check_number("attack.eps", eps, low=0)
        if norm in Attack.NORMS and norm not in self.NORMS:
            raise SenselessError(f"attack.norm is {norm!r}; it must be one of {', '.join(self.NORMS)}")
        one_of("attack.norm", norm, self.NORMS)
        check_number("attack.batch_size", batch_size, low=1, integer=True)
        self.eps, self.norm, self.batch_size = float(eps), norm, batch_size

    def check(self, adversary: Adversary, defense: Defense, num_classes: int) -> None:
        """Raise `ConfigError` if this attack makes no sense on what `adversary` sees of `defense`."""

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """Adversarial images for one chunk; all chance comes from `randomness`."""
        raise NotImplementedError

    @property
    def lengths(self) -> Mapping[str, int]:
        """Settings to which parts of its work are proportional: its steps and queries, if it has some."""
        found = {name: self._setting(name) for name in LENGTHS}
        return {name: value for name, value in found.items() if isinstance(value, int)}

    def _setting(self, name: str) -> Any:
        """The value of a setting; None if there is none of that name."""
        return getattr(self, name, None)

    def of_length(self, **lengths: int) -> Self:
        """The same attack with other `lengths`."""
        other = copy(self)
        vars(other).update(lengths)
        return other

    def run(
        self, view: nn.Module, images: Tensor, labels: Tensor, seed: int, ids: Tensor | None = None
    ) -> Adversarial:
        """`perturb`, checked: the largest violation of ball and box goes into the facts.

        seed: in [0, 2^31), the attack's. ids (N,): the images' rows in their dataset, by default their
        places; each image draws from (seed, id). The view is in evaluation mode meanwhile, and its parameters
        gather no gradient. Raises `ConfigError` for what are no images and labels, `WorkError` for a
        violation of more than 1e-6.
        """
        check_images(images)
        check_labels(labels, len(images))
        ids = torch.arange(len(images)) if ids is None else ids.cpu()
        view = view_of(view)
        with evaluating(view), _labels_checked(view, labels):
            rows = torch.arange(self._batch(view, images)) % len(images)
            view.start(seed, ids[rows])
            found = self.perturb(view, images[rows], labels[rows], Randomness(seed, ids[rows]))
        found = found.first(len(images))
        found.images = found.images.detach()
        points = [found.images] if found.candidates is None else [found.images, *found.candidates]
        violation = max((self.violation(images, point) for point in points), key=_nan_first)
        if not violation <= TOLERANCE:  # NaN fails too
            raise WorkError(f"{type(self).__name__} left its {self.norm} ball or [0, 1] by {violation:.2g}")
        found.facts["violation"] = violation
        return found

    def _batch(self, view: View, images: Tensor) -> int:
        """How many images `perturb` gets."""
        fill = self.by_image and images[0].numel() <= SMALL and not by_batch(view)
        return max(len(images), FILLED) if fill else len(images)

    def violation(self, images: Tensor, adversarial: Tensor) -> float:
        """How far the worst pixel or image is outside the ball or the box; 0 if none is."""
        if not len(images):
            return 0.0
        box = torch.maximum(-adversarial, adversarial - 1).max()
        ball = distance(adversarial - images, self.norm).max() - self.eps
        return max(float(box), float(ball), 0.0) if torch.isfinite(adversarial).all() else float("nan")


@contextmanager
def _labels_checked(view: View, labels: Tensor) -> Iterator[None]:
    """Labels are checked against the classes of the first logits that the view gives."""

    def check(module: nn.Module, arguments: tuple[Any, ...], logits: Any) -> None:
        check_logits(logits, len(arguments[0]))
        check_labels(labels, len(labels), logits.shape[1])
        hook.remove()

    model = view.model if isinstance(view.model, nn.Module) else view  # a function has no hooks
    hook = model.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


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


def keep_higher(best: Tensor, best_loss: Tensor, point: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """Image by image whichever of two points (N, C, H, W) has the higher loss (N,), and that loss."""
    better = loss > best_loss
    return torch.where(better.view(-1, 1, 1, 1), point, best), torch.where(better, loss, best_loss)


def check_step_size(step_size: float, eps: float, norm: str) -> None:
    """Raise `ConfigError` for a step that goes nowhere, or further than the box [0, 1] is wide."""
    most = 1 if norm == "linf" else WIDE
    if eps == 0:
        check_number("attack.step_size", step_size, low=0, high=most)
    else:
        check_number("attack.step_size", step_size, above=0, high=most)


def refuse_nan(what: str, values: Tensor) -> None:
    """Raise `WorkError` on a NaN, with which an attack would quietly give the clean image back."""
    refuse(what, values.isnan().any())


def refuse(what: str, nan: Tensor) -> None:
    """Raise `WorkError` if there was a NaN. Reading it makes the host wait for a GPU: not in every step."""
    if nan:
        raise WorkError(f"the {what} of what the attack sees is NaN: it would attack nothing")


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value
