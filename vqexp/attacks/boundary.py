"""The Boundary Attack (Brendel et al. 2018) by foolbox: it sees decisions alone."""

import warnings
from typing import Any

import foolbox
import torch
from torch import Tensor, nn

from vqexp.attacks.minimal import MinimalL2
from vqexp.attacks.watched import Watched
from vqexp.core.errors import check_number


class Boundary(MinimalL2):
    """A random walk along the decision boundary towards the image, from the image blended into noise.

    steps: >= 1; a step asks the view once, every tenth twice. start_directions: random images among which
    a wrongly classified one is looked for, >= 1. start_steps: of the blending, >= 1.

    An image that the view gets wrong, or for which no start is found, comes back as it is. On a random
    view every decision is one call.
    """

    needs_gradient = False

    def __init__(self, *, steps: int, start_directions: int, start_steps: int, **settings: Any) -> None:
        super().__init__(**settings)
        check_number("attack.steps", steps, low=1, integer=True)
        check_number("attack.start_directions", start_directions, low=1, integer=True)
        check_number("attack.start_steps", start_steps, low=1, integer=True)
        self.steps, self.start_directions, self.start_steps = steps, start_directions, start_steps

    @torch.no_grad()
    def find(self, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest point of each walk."""
        points = images.clone()
        (rows,) = torch.where(view(images).argmax(1) == labels)
        if not len(rows):
            return points
        model = foolbox.PyTorchModel(_Arrived(view), bounds=(0, 1), device=images.device)
        search = foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(
            directions=self.start_directions, steps=self.start_steps
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some images have no start
            starts = search.run(model, images[rows], foolbox.Misclassification(labels[rows]))
        # a start at the image itself is a random view's change of mind, and no direction to walk along
        away = (starts != images[rows]).flatten(1).any(1)
        found = (view(starts).argmax(1) != labels[rows]) & away
        rows, starts = rows[found], starts[found]
        if len(rows):
            walk = foolbox.attacks.BoundaryAttack(steps=self.steps)
            points[rows] = walk.run(model, images[rows], _Wrong(labels[rows]), starting_points=starts)
        return points


class _Arrived(nn.Module):
    """The view, for walks that may end at their image: from there foolbox proposes NaN, and takes none of it.

    Draws that are wrong by chance can lead a walk so far on a random view.
    """

    def __init__(self, view: Watched) -> None:
        super().__init__()
        self.view = view
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        return self.view(images.nan_to_num(0.0))


class _Wrong(foolbox.Misclassification):
    """Wrongly classified; of the starts, which are asked for first, that is known.

    A random view could take a start's decision back, for which foolbox would give up on all images.
    """

    started = False

    def __call__(self, perturbed: Any, outputs: Any) -> Any:
        wrong = super().__call__(perturbed, outputs)
        if not self.started:
            self.started = True
            return wrong.logical_or(wrong.logical_not())  # all true
        return wrong
