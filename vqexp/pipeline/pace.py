"""How fast this machine is at what runs are made of: an image's f, defense, gradient and training."""

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from vqexp.attacks.losses import ce
from vqexp.core.generators import generators_kept
from vqexp.core.keys import key_of
from vqexp.core.modes import evaluating, freeze
from vqexp.core.sampling import Sampler
from vqexp.pipeline.foundation import Foundation
from vqexp.pipeline.stages import Stages
from vqexp.training import Descent

BUDGET = 0.5  # seconds of trials for one thing, if one image takes no longer
TRIALS, MOST_TRIALS = 3, 20
SOME = 8  # images by which the cost of one is told from the cost of a call
STEPS_TIMED = 6  # of a training
STEPS, FEW = 10, 16  # of the attack that tells how much is left of f's accuracy, and its images


def clock() -> float:
    """Seconds."""
    return time.perf_counter()


class Pace:
    """Each thing is measured once, whichever runs it takes part in."""

    def __init__(self) -> None:
        self._known: dict[Hashable, float] = {}

    def of(self, what: str, stages: Stages) -> float:
        """Seconds an image and draw: `undefended` or `defended` f, the view `forward` or `backward`."""
        if what == "backward":
            return max(0.0, self.of("gradient", stages) - self.of("forward", stages))
        if what in ("forward", "gradient"):
            key: tuple[str, ...] = (stages.view_key,)
        else:
            key = (stages.classifier_key, stages.defense_key if what == "defended" else "")
        key = (what, *key, str(stages.chunks[0].stop))
        if key not in self._known:
            self._known[key] = self._measured(what, prepared(stages))
        return self._known[key]

    def training(self, stages: Foundation) -> float | None:
        """Seconds that f's training takes; None for one whose parts are not known."""
        experiment, training = stages.experiment, stages.experiment.training
        if not isinstance(training, Descent):
            return None
        total = experiment.dataset.train()
        key = ("training", key_of(experiment.identity("training"), experiment.origin), stages.defense_key)
        if key not in self._known:
            most = min(training.batch_size, max(1, len(total) // STEPS_TIMED))
            few = min(SOME, most)
            some = max(few, min(most, int(few * BUDGET / _step(stages, training, few))))
            self._known[key] = _step(stages, training, some) / some
        return self._known[key] * len(total) * training.epochs

    def resisting(self, stages: Stages) -> float:
        """The share of a few images that f is right on and `STEPS` steps do not flip; 1 if f is to come."""
        key = ("resisting", stages.view_key, key_of(stages.experiment.identity("attack")))
        if key not in self._known:
            self._known[key] = _resisting(prepared(stages)) if is_ready(stages.seen) else 1.0
        return self._known[key]

    def _measured(self, what: str, stages: Stages) -> float:
        images, ids, labels = some_images(stages, stages.chunks[0].stop)
        view, model = stages.view, stages.model if what == "defended" else stages.classifier

        def work(count: int) -> None:
            if what == "gradient":
                view.gradient(images[:count], labels[:count], ce)
            elif what == "forward":
                with torch.no_grad():
                    view(images[:count])
            else:
                for _ in Sampler(0).draws(model, images[:count], ids[:count], "call", 1):
                    pass

        view.start(0, ids)
        with evaluating(view), generators_kept():
            count = affordable(work, len(images))
            found = best_of(lambda: work(count)) / count
        return found / (view.samples if what in ("gradient", "forward") else 1)


def affordable(work: Callable[[int], None], most: int) -> int:
    """How many images `work` may have at once, at most `most`, so that a few trials keep to the budget."""
    work(1)  # what is compiled or allocated at a first call does not count
    one, few = _seconds(lambda: work(1)), min(most, SOME)
    if few * one < BUDGET:
        one = max(_seconds(lambda: work(few)) - one, 1e-9) / max(few - 1, 1)
    return max(1, min(most, int(BUDGET / (TRIALS * one))))


def best_of(work: Callable[[], None]) -> float:
    """The least seconds that `work` takes, of as many trials as the budget allows: others may be busy too."""
    start, best = clock(), _seconds(work)
    for _ in range(MOST_TRIALS - 1):
        if clock() - start + best > BUDGET:
            break
        best = min(best, _seconds(work))
    return best


def is_ready(foundation: Foundation) -> bool:
    """Whether f needs no training any more."""
    store, key = foundation.experiment.store, foundation.classifier_key
    return foundation.experiment.training is None or store.path("classifier", key).exists()


def prepared(stages: Stages) -> Stages:
    """The stages, with an f that is not trained where it is to be trained: it is as fast."""
    for each in (stages, stages.seen):
        if "network" not in each.__dict__ and not is_ready(each):
            network = freeze(each.experiment.classifier()).to(each.experiment.device)
            each.__dict__["network"] = network.to(memory_format=torch.channels_last)
    return stages


def some_images(stages: Stages, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first test images with ids and labels, on the device."""
    rows, device = slice(0, count), stages.experiment.device
    images = stages.images.pixels(rows).to(device)
    return images, stages.images.ids[rows], stages.images.labels[rows].to(device)


def _seconds(work: Callable[[], None]) -> float:
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def _step(stages: Foundation, training: Descent, count: int) -> float:
    """The least seconds between two steps of the training, on batches of `count` images."""
    experiment, ends = stages.experiment, list[float]()

    def end(*_: object) -> None:
        if experiment.device.type == "cuda":
            torch.cuda.synchronize()
        ends.append(clock())

    hook = register_optimizer_step_post_hook(end)
    try:
        brief = replace(training, epochs=1, batch_size=count, selection="last", start=None)
        brief.behind(stages.defense).fit(
            experiment.classifier().to(experiment.device),
            experiment.dataset.train().subset(slice(0, count * STEPS_TIMED)),
            seed=experiment.seed,
            device=experiment.device,
        )
    finally:
        hook.remove()
    return min(after - before for before, after in pairwise(ends))


def _resisting(stages: Stages) -> float:
    clean, ids, labels = some_images(stages, FEW)
    view, eps, points = stages.view, stages.experiment.attack.eps, clean
    view.start(0, ids)
    with evaluating(view), generators_kept():
        for _ in range(STEPS):
            gradient, _ = view.gradient(points, labels, ce)
            points = (points + eps / 4 * gradient.sign()).clamp(clean - eps, clean + eps).clamp(0, 1)
        with torch.no_grad():
            return (view(points).argmax(1) == labels).float().mean().item()
