"""AutoAttack (Croce & Hein 2020) by its authors' own code, the package pyautoattack."""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pyautoattack import AutoAttack as AuthorsAutoAttack
from torch import Tensor, nn

from vqexp.adversaries import Adversary, View
from vqexp.attacks.any_size import AnySize
from vqexp.attacks.apgd import NORM_NAMES, RandomAPGD
from vqexp.attacks.base import Adversarial, Attack
from vqexp.attacks.members import members
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import SenselessError, check_number, one_of
from vqexp.core.notes import note
from vqexp.defenses import Defense

STEPS, QUERIES = 100, 5000  # of every version


class AutoAttack(Attack):
    """The ensemble of APGD-CE, targeted APGD-DLR, targeted FAB and Square; two APGD runs on random views.

    version: `standard`, `plus` (fixed views only) or `rand` (random views only, where `standard` means
    the same). steps, queries: null leaves what the version fixes; a number replaces the steps of APGD and
    FAB or the queries of Square (the result is then no AutoAttack figure). Members that do not exist for
    the number of classes (`members`) are left out; the log says so, and a line on stderr.

    Fixed view: an image on which the view was wrong from the start, or which no member flipped, comes
    back unchanged. `autoattack_flags` (N,) is the package's own verdict: true where the view was right
    and stayed right.

    Random view: that verdict rests on single draws, so it chooses nothing. APGD-CE and APGD-DLR go
    through all images (`RandomAPGD`), and their highest-loss and last points are candidates.
    `autoattack_flags` is what the package's version `rand` would say, with its order of calls on draws
    of our own: true where the view was right at the first call, and right again where each run's point
    (the last one that some draw of it got wrong, else the image itself) was tested on one more.
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
        one_of("attack.version", version, ("standard", "plus", "rand"))
        for name, value in (("steps", steps), ("queries", queries)):
            if value is not None:
                check_number(f"attack.{name}", value, low=1, integer=True)
        self.version, self.steps, self.queries = version, steps, queries

    def check(self, adversary: Adversary, defense: Defense, num_classes: int) -> None:
        """Refuse a version for the other kind of view, and an average that APGD does not know."""
        self._check_version(adversary.sees_randomness(defense))
        if getattr(adversary, "average", "") == "worst":
            raise SenselessError(
                "adversary.average=worst is for attacks of this library, and AutoAttack averages by itself; "
                "choose loss or output"
            )

    def _check_version(self, random: bool) -> None:
        if random and self.version == "plus":
            raise SenselessError(
                "attack.version=plus is an ensemble for fixed views, and this view is random; "
                "standard and rand run APGD-CE and APGD-DLR on it"
            )
        if not random and self.version == "rand":
            raise SenselessError(
                "attack.version=rand is for random views, and this view is fixed; choose standard or plus"
            )

    @property
    def lengths(self) -> Mapping[str, int]:
        """Steps of APGD and FAB, queries of Square; where they are left open, those of the version."""
        return {"steps": self.steps or STEPS, "queries": self.queries or QUERIES}

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The package's adversarial images, or candidates; its log goes into the facts."""
        seed = randomness.seed
        if view.random:
            return self._on_draws(view, images, labels, seed)
        self._check_version(random=False)
        with captured_log() as log, torch.random.fork_rng():
            attack, lines = self.authors_attack(view, images, seed)
            say(lines, log)
            adversarial, predictions = attack.run_standard_evaluation(
                images, labels, batch_size=self.batch_size
            )
        flags = predictions == labels
        return Adversarial(adversarial, {"autoattack_flags": flags}, {"log": log.getvalue()})

    def _on_draws(self, view: View, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        self._check_version(random=True)
        apgd = RandomAPGD(view, steps=self.steps or STEPS, norm=self.norm, eps=self.eps, seed=seed)
        logits = apgd.logits(images)
        flags, candidates = logits.argmax(1) == labels, []
        kept, lines = members(["apgd-ce", "apgd-dlr"], logits.shape[1])
        with captured_log() as log:
            say(lines, log)
            for name in kept:
                one = apgd.run(images, labels, name.removeprefix("apgd-"))
                candidates.append(one.points)
                flags = flags & ~one.flipped
                log.write(f"{one.log}\n")
        points = torch.cat(candidates)
        return Adversarial(points[0], {"autoattack_flags": flags}, {"log": log.getvalue()}, points)

    def authors_attack(
        self, view: nn.Module, images: Tensor, seed: int
    ) -> tuple[AuthorsAutoAttack, list[str]]:
        """The package's attack object with our settings, and what in it is not as usual, in lines."""
        attack = AuthorsAutoAttack(
            view,
            norm=NORM_NAMES[self.norm],
            eps=self.eps,
            seed=seed,
            version=self.version,
            device=images.device,
        )
        with torch.no_grad():
            classes = view(images[:1]).shape[1]
        attack.attacks_to_run, lines = members(attack.attacks_to_run, classes)
        square = AnySize(view)
        square.__dict__.update(vars(attack.square))  # the version's settings
        attack.square = square
        lines += square.remarks(*images.shape[2:])
        for targeted in (attack.apgd_targeted, attack.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)
        if self.steps is not None:
            for stepped in (attack.apgd, attack.apgd_targeted, attack.fab):
                stepped.n_iter = self.steps
        if self.queries is not None:
            attack.square.n_queries = self.queries
        return attack, lines


@contextmanager
def captured_log() -> Iterator[io.StringIO]:
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


def say(lines: Sequence[str], log: io.StringIO) -> None:
    """In the log, which the record keeps, and on stderr."""
    for line in lines:
        log.write(f"{line}\n")
        note(f"AutoAttack: {line}")
