"""APGD (Croce & Hein 2020) by its authors' code, against a view whose draws differ from call to call."""

import logging
from dataclasses import dataclass

import torch
from pyautoattack.autopgd_base import APGDAttack
from torch import Tensor

from vqexp.adversaries.view import View
from vqexp.attacks.base import project
from vqexp.attacks.losses import LOSSES
from vqexp.attacks.watched import Watched

NORM_NAMES = {"linf": "Linf", "l2": "L2"}


@dataclass
class OneRun:
    """points (2, N, C, H, W): the package's highest-loss point of every image, and its last one.

    flipped (N,): the package would say that this run broke the image. log: the run in one line.
    """

    points: Tensor
    flipped: Tensor
    log: str


class RandomAPGD:
    """The APGD runs of the package's version `rand`, on all images and without restarts.

    The draws of a gradient are averaged once: by APGD (`eot_iter`), or by the view itself if its average
    is `output`. Of several draws the package remembers the last one's loss, so its highest-loss point
    owes something to luck; that is why the last point is kept beside it.

    steps: >= 1. norm: `linf` or `l2`. eps: radius, >= 0. seed: of the starting points.
    """

    def __init__(self, view: View, *, steps: int, norm: str, eps: float, seed: int) -> None:
        averaged = view.samples > 1 and view.average == "output"
        self.draws = 1 if averaged else view.samples  # that APGD averages
        self.model = Watched(view if averaged else view.one_draw())
        self.steps, self.norm, self.eps, self.seed = steps, norm, eps, seed

    def run(self, images: Tensor, labels: Tensor, loss: str) -> OneRun:
        """One run with the loss `ce` or `dlr`, from images (N, C, H, W) and labels (N,)."""
        attack = APGDAttack(
            self.model,
            n_iter=self.steps,
            norm=NORM_NAMES[self.norm],
            eps=self.eps,
            seed=self.seed,
            loss=loss,
            eot_iter=self.draws,
            device=images.device,
            logger=logging.getLogger("auto-attack"),
        )
        attack.init_hyperparam(images)
        before = self.logits(images)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            best, stayed_right, highest, wrong_at = attack.attack_single_run(images, labels)
        points = [project(point, images, self.eps, self.norm) for point in (best, self.model.last)]
        # The package's test: a point that one draw got wrong, if the image itself was right before, must
        # be wrong on one more draw.
        reached = (before.argmax(1) == labels) & ~stayed_right.bool()
        tested = torch.where(reached.view(-1, 1, 1, 1), wrong_at, images)
        flipped = self.logits(tested).argmax(1) != labels
        log = (
            f"apgd-{loss}: {self.steps} steps of {self.draws} draws, mean loss "
            f"{LOSSES[loss](before, labels).mean():.4f} -> {highest.mean():.4f}, "
            f"{int(flipped.sum())} of {len(images)} wrong in the one-draw test"
        )
        return OneRun(torch.stack(points).detach(), flipped, log)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """What the attacked view says at its next call."""
        return self.model(images)
