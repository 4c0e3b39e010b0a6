"""Square Attack (Andriushchenko et al. 2020, Algorithms 1 and 2): random search by squares, no gradient."""

import math
from typing import Any

import torch
from torch import Tensor

from vqexp.adversaries.view import View
from vqexp.attacks.base import Adversarial, Attack, keep_higher, project, refuse
from vqexp.attacks.losses import margin_loss
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import check_number, require
from vqexp.core.inputs import inside
from vqexp.core.progress import stepwise

AHEAD = 64  # queries whose chances are drawn at once
# Queries, out of 10,000, after which the share of changed pixels halves; from the authors' code.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class Square(Attack):
    """Changes one random square at a time and keeps what raises the margin loss; l-inf only.

    queries: answers of the view for each image, >= 1. p_init: share of the pixels in the first squares, in
    (0, 1]; it shrinks on the authors' schedule, rescaled to `queries`.

    There is no early stop: against a random defense an image that is wrong once is not yet lost, and a view
    that averages over draws makes every comparison one of averages. The point of the highest loss is
    returned.
    """

    VERSION = 2
    needs_gradient = False
    by_image = True

    def __init__(self, *, queries: int, p_init: float, **settings: Any) -> None:
        super().__init__(**settings)
        require(
            self.norm == "linf",
            f"attack.norm is {self.norm!r}; it must be linf: the squares of the l2 version are others",
        )
        check_number("attack.queries", queries, low=1, integer=True)
        check_number("attack.p_init", p_init, above=0, high=1)
        self.queries, self.p_init = queries, float(p_init)

    @torch.no_grad()
    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The accepted points, with their `loss` (N,)."""
        N, C, H, W = images.shape
        best, best_loss = images, torch.full((N,), -torch.inf, device=images.device)
        broken = torch.zeros(N, dtype=torch.bool, device=images.device)
        for query in stepwise(range(self.queries)):
            if query == 0:  # vertical stripes
                point = images + self.eps * randomness.signs(C, 1, W).to(images)
            else:
                at = (query - 1) % AHEAD
                if at == 0:  # a place and a sign for each channel
                    chance = randomness.uniform(AHEAD, 2 + C)
                square = _squares(self._side(query - 1, H, W), H, W, chance[:, at, :2])
                signs = torch.where(chance[:, at, 2:] < 0.5, -1.0, 1.0).view(N, C, 1, 1)
                # from the host without waiting for what the GPU has still to do
                point = best + (2 * self.eps * square * signs).to(images, non_blocking=True)
            point = project(point, images, self.eps, self.norm)
            with inside():
                loss = margin_loss(view(point), labels)
            broken = broken | loss.isnan()
            best, best_loss = keep_higher(best, best_loss, point, loss)
        refuse("loss", broken.any())
        return Adversarial(best, {"loss": best_loss})

    def _side(self, step: int, H: int, W: int) -> int:
        """Side of the square at a step, in pixels."""
        done = int(step / self.queries * 10_000)
        share = self.p_init / 2 ** sum(done > halving for halving in HALVINGS)
        return min(max(round(math.sqrt(share * H * W)), 1), H, W)


def _squares(side: int, H: int, W: int, chance: Tensor) -> Tensor:
    """(N, 1, H, W), true in a square of each image at a place of its own; chance (N, 2), in [0, 1)."""
    top, left = ((chance * torch.tensor([H - side + 1, W - side + 1])).long()).split(1, 1)
    rows, columns = torch.arange(H) - top, torch.arange(W) - left
    rows, columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
