"""Attacks that look for the nearest adversarial image, and how they are judged at a radius."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from vqexp.adversaries.view import View
from vqexp.attacks.base import Adversarial, Attack, distance, project
from vqexp.attacks.randomness import Randomness
from vqexp.attacks.watched import Watched


class MinimalL2(Attack):
    """Subclasses find points wherever they lie; those outside the l2 ball are projected onto it.

    An adversarial image outside the ball is none that the radius allows: its projection is judged like
    any other image, and may well be classified correctly.
    """

    NORMS: ClassVar[tuple[str, ...]] = ("l2",)

    def __init__(self, *, norm: str = "l2", **settings: Any) -> None:
        super().__init__(norm=norm, **settings)

    def find(self, view: Watched, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest points (N, C, H, W) in [0, 1] that the view gets wrong, as far as they are found."""
        raise NotImplementedError

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The points, projected. `distance` (N,): where they were, in l2; infinite if none was found.

        A point counts as found if the view gets it wrong once more (on a random view: on one more call).
        """
        watched = Watched(view)
        with torch.random.fork_rng():
            torch.manual_seed(randomness.seed)  # the libraries draw from the global generator
            points = self.find(watched, images, labels).detach()
        with torch.no_grad():
            wrong = watched(points).argmax(1) != labels
        distances = distance(points - images, "l2")
        facts = {
            "found": int(wrong.sum()),
            "found_within_eps": int((wrong & (distances <= self.eps)).sum()),
            "mean_distance": distances[wrong].mean().item() if wrong.any() else None,
        }
        distances = distances.where(wrong, torch.inf).float()
        return Adversarial(project(points, images, self.eps, self.norm), {"distance": distances}, facts)
