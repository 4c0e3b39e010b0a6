"""AutoAttack (Croce & Hein 2020) by its authors' own code, the package pyautoattack."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pyautoattack import AutoAttack as AuthorsAutoAttack
from torch import Tensor, nn

from vqexp.attacks.base import Adversarial, Attack
from vqexp.errors import check_number, one_of


class AutoAttack(Attack):
    """The ensemble of APGD-CE, targeted APGD-DLR, targeted FAB and Square, for deterministic views.

    version: `standard` or `plus`. steps, queries: null leaves what the version fixes; a number replaces
    the steps of APGD and FAB or the queries of Square (the result is then no AutoAttack figure).

    An image on which the view was wrong from the start, or which no member flipped, comes back
    unchanged. `autoattack_flags` (N,) is the package's own verdict: true where the view was right and
    stayed right.
    """

    def __init__(
        self,
        *,
        version: str = "standard",
        steps: int | None = None,
        queries: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        one_of("attack.version", version, ("standard", "plus"))
        for name, value in (("steps", steps), ("queries", queries)):
            if value is not None:
                check_number(f"attack.{name}", value, low=1, integer=True)
        self.version, self.steps, self.queries = version, steps, queries

    def perturb(self, view: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        """The package's adversarial images; its log goes into the facts."""
        with _captured_log() as log, torch.random.fork_rng():
            attack = self.authors_attack(view, images, seed)
            adversarial, predictions = attack.run_standard_evaluation(
                images, labels, batch_size=self.batch_size
            )
        flags = predictions == labels
        return Adversarial(adversarial, {"autoattack_flags": flags}, {"log": log.getvalue()})

    def authors_attack(self, view: nn.Module, images: Tensor, seed: int) -> AuthorsAutoAttack:
        """The package's attack object with our settings."""
        attack = AuthorsAutoAttack(
            view,
            norm={"linf": "Linf", "l2": "L2"}[self.norm],
            eps=self.eps,
            seed=seed,
            version=self.version,
            device=images.device,
        )
        with torch.no_grad():
            other_classes = view(images[:1]).shape[1] - 1
        for targeted in (attack.apgd_targeted, attack.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, other_classes)
        if self.steps is not None:
            for stepped in (attack.apgd, attack.apgd_targeted, attack.fab):
                stepped.n_iter = self.steps
        if self.queries is not None:
            attack.square.n_queries = self.queries
        return attack


@contextmanager
def _captured_log() -> Iterator[io.StringIO]:
    """The package's messages as text, instead of on the terminal."""
    text, logger = io.StringIO(), logging.getLogger("auto-attack")
    handler, level, propagate = logging.StreamHandler(text), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield text
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
