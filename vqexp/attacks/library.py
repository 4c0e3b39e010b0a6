"""MI-FGSM, DeepFool and Carlini & Wagner by torchattacks, on the view's `forward`.

Of a random view that is one draw a call, or the log of the mean softmax over several.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, ClassVar

import torchattacks
from torch import Tensor, nn

from vqexp.adversaries.view import View
from vqexp.attacks.base import Adversarial, Attack, check_step_size, distance
from vqexp.attacks.minimal import MinimalL2
from vqexp.attacks.randomness import Randomness
from vqexp.attacks.watched import Watched
from vqexp.core.errors import check_number

EDGE = 1e-6  # how far from 0 and 1 a pixel must be for tanh to move it


def _attack(kind: Callable[..., Any], view: nn.Module, images: Tensor, **settings: Any) -> Any:
    with redirect_stdout(io.StringIO()):  # it says that the view has no parameters to tell the device from
        attack = kind(view, **settings)
    attack.set_device(images.device)
    return attack


class MIFGSM(Attack):
    """Signed steps along a momentum of normalized gradients (Dong et al. 2018, algorithm 1).

    steps: >= 1. step_size: in (0, 1] unless eps is 0, in units of [0, 1] pixels. decay: of the momentum, 0
    to 10.
    """

    NORMS: ClassVar[tuple[str, ...]] = ("linf",)

    def __init__(self, *, steps: int, step_size: float, decay: float, **settings: Any) -> None:
        super().__init__(**settings)
        check_number("attack.steps", steps, low=1, integer=True)
        check_step_size(step_size, self.eps, self.norm)
        check_number("attack.decay", decay, low=0, high=10)
        self.steps, self.step_size, self.decay = steps, float(step_size), decay

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The last point."""
        settings = {"eps": self.eps, "alpha": self.step_size, "steps": self.steps, "decay": self.decay}
        attack = _attack(torchattacks.MIFGSM, Watched(view), images, **settings)
        return Adversarial(attack(images, labels))


class DeepFool(MinimalL2):
    """Steps to the nearest boundary of the linearized classifier (Moosavi-Dezfooli et al. 2016, algorithm 2).

    steps: at most so many, >= 1. overshoot: by which share each step goes beyond the boundary, >= 0.
    torchattacks clips to [0, 1] after each step, so a path can get stuck where pixels are black or white.
    """

    def __init__(self, *, steps: int, overshoot: float, **settings: Any) -> None:
        super().__init__(**settings)
        check_number("attack.steps", steps, low=1, integer=True)
        check_number("attack.overshoot", overshoot, low=0, high=10)
        self.steps, self.overshoot = steps, overshoot

    def find(self, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """Where each path crossed a boundary, or its last point."""
        settings = {"steps": self.steps, "overshoot": self.overshoot}
        return _attack(torchattacks.DeepFool, view, images, **settings)(images, labels)


class CarliniWagner(MinimalL2):
    """Adam on squared distance + c * margin, in tanh space (Carlini & Wagner 2017); c is not searched for.

    c: weight of the margin, > 0. confidence: the margin that is enough (kappa), >= 0. steps: >= 1.
    lr: of Adam, > 0.
    """

    def __init__(self, *, c: float, confidence: float, steps: int, lr: float, **settings: Any) -> None:
        super().__init__(**settings)
        check_number("attack.c", c, above=0)
        check_number("attack.confidence", confidence, low=0)
        check_number("attack.steps", steps, low=1, integer=True)
        check_number("attack.lr", lr, above=0, high=10)
        self.c, self.confidence, self.steps, self.lr = c, confidence, steps, lr

    def find(self, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """Of the points that the view got wrong the nearest, or the image itself."""
        settings = {"c": self.c, "kappa": self.confidence, "steps": self.steps, "lr": self.lr}
        attack = _attack(torchattacks.CW, _Positive(view), images, **settings)
        points = attack(images.clamp(EDGE, 1 - EDGE), labels)
        moved = distance(points - images, "linf") > 2 * EDGE
        return points.where(moved.view(-1, 1, 1, 1), images)


class _Positive(nn.Module):
    """Logits shifted to be >= 0: torchattacks' margin counts absent classes as 0, so it needs that."""

    def __init__(self, view: nn.Module) -> None:
        super().__init__()
        self.view = view

    def forward(self, images: Tensor) -> Tensor:
        logits = self.view(images)
        return logits - logits.detach().amin(1, keepdim=True)
