"""How fast this machine is at what runs are made of: a pass through f, a defense, an adversary's view."""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vqexp.adversaries.view import view_of
from vqexp.attacks.losses import ce
from vqexp.classifiers import computed
from vqexp.core.atomic import write_atomically
from vqexp.core.draws import Draw
from vqexp.core.errors import WorkError
from vqexp.core.generators import generators_kept
from vqexp.core.keys import key_of
from vqexp.core.modes import evaluating, freeze
from vqexp.core.notes import note
from vqexp.core.random_module import RandomModule
from vqexp.core.sampling import Sampler
from vqexp.core.store import Store
from vqexp.pipeline.foundation import Foundation
from vqexp.pipeline.provenance import provenance
from vqexp.pipeline.stages import Stages
from vqexp.pipeline.stopwatch import seconds_an_image, timer

LIMIT = 10.0  # seconds of timing, after which what is left is timed once, and none after twice as many
BUDGET = 0.1  # seconds for one thing, if one image takes no longer
STEPS, FEW, FEWEST = 10, 16, 4  # of the attack that tells how much is left of f's accuracy, and its images


class UntimedError(WorkError):
    """The time for timing is over."""


class Idle(RandomModule):
    """A classifier that costs next to nothing; counts the images of passes with a gradient and without."""

    def __init__(self, classes: int, random: bool) -> None:
        super().__init__()
        self.random = random
        self.asked, self.followed = 0, 0
        self.weights = torch.arange(float(classes))

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Logits (N, classes)."""
        if images.requires_grad:
            self.followed += len(images)
        else:
            self.asked += len(images)
        return images.flatten(1).mean(1, keepdim=True) * self.weights.to(images.device)


class Pace:
    """Each network, defense and view is timed once, whichever runs it takes part in.

    A view, or a defended classifier, costs what it takes around an f that is idle, and f's passes.
    store: keeps what was timed, by machine and versions. Once twice `LIMIT` seconds are spent, what is not
    known raises `UntimedError`; with what is kept, the next to ask gets further.
    """

    def __init__(self, store: Store, device: torch.device) -> None:
        found = provenance(device, {})
        machine = key_of(*(found[name] for name in ("device", "version", "python", "libraries")))
        self._path = store.root / "pace" / f"{machine}.json"
        self._known: dict[str, list[float]] = {}
        self.timed, self._spent = 0, 0.0
        with suppress(OSError, ValueError):
            self._known = json.loads(self._path.read_text())

    def of(self, what: str, stages: Stages) -> float:
        """Seconds an image and draw: `undefended` or `defended` f, the view `forward` or `backward`."""
        if what in ("undefended", "defended"):
            forward, _ = self._network(stages)
            return forward if what == "undefended" else self._around("defended", stages, forward, forward)
        if what == "backward":
            return max(0.0, self.of("gradient", stages) - self.of("forward", stages))
        return self._around(what, stages, *self._network(stages.seen, stages.experiment.precision))

    def learning(self, foundation: Foundation) -> dict[str, float]:
        """Seconds an image of f's passes in training: `forward`, with its `gradient`, or its weights' too."""
        forward, gradient = self._network(foundation)
        return {"forward": forward, "gradient": gradient, "weights": 2 * gradient - forward}

    def resisting(self, stages: Stages) -> float | None:
        """The share of a few images that f is right on and `STEPS` steps do not flip.

        None if f is to come, or too slow for that, or if the adversary sees no gradient.
        """
        if not is_ready(stages.seen) or not stages.experiment.adversary.differentiable:
            return None
        few = min(FEW, int(LIMIT / 20 / (STEPS * self.of("gradient", stages) * stages.view.samples)))
        if few < FEWEST:
            return None
        key = ["resisting", stages.view_key, stages.experiment.identity("attack")]
        return self._once(key, lambda: [_resisting(stages, few)])[0]

    def keep(self) -> None:
        """Writes down what was timed."""
        if self.timed:
            with suppress(WorkError):  # it only saves time
                write_atomically(self._path, json.dumps(self._known).encode())

    def _network(self, foundation: Foundation, precision: str = "float32") -> tuple[float, float]:
        """Seconds an image for f's forward pass, and for one with the gradient of its image."""
        experiment = foundation.experiment
        form = experiment.identity("classifier", without=("checkpoint", "statistics"))
        # layers of one kind are as fast whatever their settings
        installed = experiment.config["defense"]["_target_"] if experiment.defense.installs else None
        images, _, labels = some_images(foundation, foundation.chunks[0].stop)

        @cache
        def network() -> nn.Module:
            made = foundation.__dict__.get("network") or freeze(experiment.classifier())
            made = made.to(experiment.device).to(memory_format=torch.channels_last)
            return freeze(computed(made, precision)) if precision != "float32" else made

        def forward(count: int) -> None:
            with torch.no_grad():
                network()(images[:count])

        def gradient(count: int) -> None:
            point = images[:count].detach().requires_grad_()
            torch.autograd.grad(ce(network()(point), labels[:count]).sum(), point)

        def timed() -> list[float]:
            network()
            return [seconds_an_image(work, len(images), self._budget) for work in (forward, gradient)]

        one, both = self._once(["network", form, installed, list(experiment.dataset.shape), precision], timed)
        return one, max(one, both)

    def _around(self, what: str, stages: Stages, forward: float, gradient: float) -> float:
        """Seconds an image and draw of the defended f or of a view, of whose f the passes are known."""
        experiment = stages.experiment
        view = experiment.identity("adversary") if what != "defended" else None
        shape = list(experiment.dataset.shape)
        key = [what, stages.defense_key, view, shape]
        own, asked, followed = self._once(key, lambda: _around_idle(what, stages, self._budget))
        return own + asked * forward + followed * gradient

    @property
    def _budget(self) -> float:
        return BUDGET if self._spent < LIMIT else 0.0

    def _once(self, key: list[Any], time_it: Callable[[], list[float]]) -> list[float]:
        """What is known under the key, or is found now. Raises `UntimedError` where no time is left."""
        name = key_of(key)
        if name not in self._known:
            if self._spent > 2 * LIMIT:
                raise UntimedError
            note(f"timing networks and defenses on this machine, {LIMIT:g} s at most")
            spent = timer()
            self._known[name] = time_it()
            self._spent += spent()
            self.timed += 1
        return self._known[name]


def is_ready(foundation: Foundation) -> bool:
    """Whether f needs no training any more."""
    store, key = foundation.experiment.store, foundation.classifier_key
    return not foundation.experiment.trainings or store.path("classifier", key).exists()


def some_images(foundation: Foundation, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first test images with ids and labels, on the device."""
    rows, device = slice(0, count), foundation.experiment.device
    images = foundation.images.pixels(rows).to(device)
    return images, foundation.images.ids[rows], foundation.images.labels[rows].to(device)


def _around_idle(what: str, stages: Stages, budget: float) -> list[float]:
    """Of a pass around an idle f, an image and draw: seconds, f's passes without a gradient, and with one."""
    experiment, defense = stages.experiment, stages.defense
    idle = freeze(Idle(experiment.dataset.num_classes, defense.installs and defense.random))
    images, ids, labels = some_images(stages, stages.chunks[0].stop)
    model = freeze(defense.wrap(idle))
    view = freeze(view_of(experiment.adversary.view(idle, defense)))
    view.start(0, ids)
    images_at_last = 0

    def work(count: int) -> None:
        nonlocal images_at_last
        images_at_last, idle.asked, idle.followed = count, 0, 0
        if what == "gradient":
            view.gradient(images[:count], labels[:count], ce)
        elif what == "forward":
            with torch.no_grad():
                view(images[:count])
        else:
            for _ in Sampler(0).draws(model, images[:count], ids[:count], "call", 1):
                pass

    with evaluating(view), generators_kept():
        work(1)  # what is compiled at a first call does not count
        seconds = seconds_an_image(work, len(images), budget)
    draws = 1 if what == "defended" else view.samples
    passes = images_at_last * draws
    return [seconds / draws, idle.asked / passes, idle.followed / passes]


def _resisting(stages: Stages, few: int) -> float:
    clean, ids, labels = some_images(stages, few)
    view, eps, points = stages.view, stages.experiment.attack.eps, clean
    view.start(0, ids)
    with evaluating(view), generators_kept():
        for _ in range(STEPS):
            gradient, _ = view.gradient(points, labels, ce)
            points = (points + eps / 4 * gradient.sign()).clamp(clean - eps, clean + eps).clamp(0, 1)
        with torch.no_grad():
            return (view(points).argmax(1) == labels).float().mean().item()
