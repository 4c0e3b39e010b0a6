"""What a run asks of its classifier, counted: the run itself, on few images and a classifier that is free."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from vqexp.adversaries.view import View, view_of
from vqexp.attacks.base import FILLED
from vqexp.core.draws import Draw
from vqexp.core.keys import key_of
from vqexp.core.modes import freeze
from vqexp.core.progress import asked
from vqexp.core.random_module import RandomModule, is_random
from vqexp.core.store import Artifact, Job
from vqexp.data import Images
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.ledger import Ledger
from vqexp.pipeline.stages import Stages
from vqexp.pipeline.stopwatch import clock

SHORT = 4  # steps or queries of an attack, whose further ones are as dear
FEW, SIDE = 4, 32  # at most so many images, unless the attack fills batches up, of so many pixels a side
MARGINS = {False: 1e-4, True: 10.0}  # between the first two logits: the first step flips them, or none does
SEEN = 16  # pixel values that the free classifier looks at
BY_CALL = ("adversarial", "evaluation", "votes")  # stages whose own time goes with calls, not with images


class Free(RandomModule):
    """A classifier that costs nothing: class 0 is right on `clean`, and wrong where an image was changed.

    clean: images (m, C, H, W). steady: no change in [0, 1] makes it wrong.
    """

    def __init__(self, clean: Tensor, classes: int, *, random: bool, steady: bool) -> None:
        super().__init__()
        self.random, self.clean = random, clean.flatten(1)[:, :SEEN]
        self.rest = -0.1 * torch.arange(-1, classes - 1, device=clean.device)
        self.rest[0] = MARGINS[steady]

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Logits (N, classes)."""
        seen = images.flatten(1)[:, :SEEN]
        with torch.no_grad():
            nearest = self.clean[torch.cdist(seen.detach(), self.clean).argmin(1)]
        moved = (seen - nearest).mean(1, keepdim=True)
        return torch.cat([0 * moved, moved.expand(-1, len(self.rest) - 1)], 1) + self.rest


class Unhurried(int):
    """A length whose tenth is all of it.

    Some attacks look every tenth of their steps whether they still get better, and stop if not. On the free
    classifier they would stop at once, which says nothing of f; with such a length they go on to its end.
    divided: whether an attack asked for a part.
    """

    divided = False

    def __floordiv__(self, other: int) -> "Unhurried":
        self.divided = True
        return self

    __truediv__ = __floordiv__


class Counted(View):
    """In place of a view: the free classifier, asked as the view would be; counts images times draws."""

    def __init__(self, view: View, free: nn.Module, counts: Counter[str], samples: int | None = None) -> None:
        super().__init__(free)
        self.random, self.decides, self.differentiable = view.random, view.decides, view.differentiable
        self.average, self.samples = view.average, samples or view.samples
        self.counts = counts

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        asked()
        self.counts["forward"] += len(images) * self.samples
        logits = self.model(images)
        if logits.requires_grad:
            logits.register_hook(self._passed)
        return logits

    def one_draw(self) -> View:
        """As the view's: a call is one draw."""
        return Counted(self, self.model, self.counts, samples=1)

    def _passed(self, gradient: Tensor) -> None:
        self.counts["backward"] += len(gradient) * self.samples


@dataclass(frozen=True)
class Stage:
    """One stage of a run, on few images: what it asked for, and the seconds of its own.

    key: the same for stages that share their artifacts. at_most: whether it is an attack that stops where it
    gets no better, so that it may ask for less.
    """

    kind: str
    key: str
    counts: Counter[str]
    seconds: float
    at_most: bool


class _Tally(Ledger):
    """Notes each stage in place of keeping its artifacts."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts, self.stages = counts, dict[str, Stage]()
        self._made: dict[str, Artifact] = {}
        self._used = {}

    def fetch_chunks(
        self,
        title: str,
        jobs: Sequence[Job],
        chunks: Sequence[slice],
        accuracy: Callable[[Artifact], float] | None = None,
        leave: str | None = None,
        draws: int | None = None,
    ) -> list[Artifact]:
        """The one chunk, computed if it was not before."""
        (job,) = jobs
        if job.key not in self._made:
            before, start = self.counts.copy(), clock()
            made = self._made[job.key] = job.compute()
            seconds = made.facts.get("seconds", clock() - start)
            at_most = made.facts.get("at_most", False)
            self.stages[job.key] = Stage(job.kind, job.key, self.counts - before, seconds, at_most)
        return [self._made[job.key]]


def enough(experiment: Experiment) -> int:
    """How many images a rehearsal needs."""
    return FILLED if experiment.attack.by_image else FEW


class Rehearsal(Stages):
    """An experiment's stages on a few images, with a free classifier in place of f, and nothing stored.

    clean: test images (m, C, H, W), cropped to `SIDE`. steady: whether the attack
    fails on every image, or soon succeeds on every one: some attacks stop then.
    """

    ledger: _Tally
    KNOWN: ClassVar[dict[str, tuple[Artifact, Counter[str]]]] = {}  # attacks that were rehearsed

    def __init__(self, experiment: Experiment, clean: Tensor, *, steady: bool) -> None:
        self.counts: Counter[str] = Counter()
        super().__init__(experiment, _Tally(self.counts))
        self.steady = steady
        defense, classes = experiment.defense, experiment.dataset.num_classes
        clean = clean[:, :, :SIDE, :SIDE].to(experiment.device)
        random = defense.installs and defense.random
        self.free = freeze(Free(clean, classes, random=random, steady=steady))
        for name in ("network", "classifier", "attacked_classifier"):
            self.__dict__[name] = self.free
        self.seen.__dict__["network"] = self.free  # a surrogate is not trained
        self.__dict__["images"] = Images(clean.cpu(), torch.zeros(len(clean), dtype=torch.int64))

    def stages(self) -> list[Stage]:
        """Every stage, by the metrics' own measuring. Raises whatever they raise."""
        for metric in (self.experiment.metric, *self.experiment.further.values()):
            metric.measure(self)
        return list(self.ledger.stages.values())

    @cached_property
    def chunks(self) -> list[slice]:
        """One, of all images."""
        return [slice(0, len(self.images))]

    @cached_property
    def data_keys(self) -> list[str]:
        """One, whatever the number of images."""
        form = self.experiment.identity("dataset", without=("n", "train_n"))
        return [key_of("rehearsal", form, self.experiment.attack.batch_size)]

    @cached_property
    def view(self) -> View:
        """What the attack sees, for free."""
        view = view_of(self.experiment.adversary.view(self.free, self.defense))
        return freeze(Counted(view, self.free, self.counts))

    def _attack(self, index: int) -> Artifact:
        """As the stages' own; an attack asks the same of every view of a kind, and is rehearsed once."""
        view, images, identity = self.view, self.images.pixels(slice(None)), self.experiment.identity
        kind = [view.random, view.decides, view.differentiable, view.average, view.samples, self.steady]
        judges = [self.experiment.adversary.select, self.defense.random]
        key = key_of(identity("attack"), kind, judges, list(images.shape), len(self.free.rest))
        if key not in self.KNOWN:
            self.KNOWN[key] = self._at_length(self.experiment.attack.lengths)
        found, counts = self.KNOWN[key]
        self.counts.update(counts)
        return found

    def _at_length(self, lengths: Mapping[str, int]) -> tuple[Artifact, Counter[str]]:
        """The attack, shortened, with the seconds and the counts that it would have at its `lengths`.

        Each of them adds its own share, in proportion.
        """
        short = {name: min(value, SHORT) for name, value in lengths.items()}
        found, seconds, counts = self._shortened(short)
        total = {name: float(count) for name, count in counts.items()}
        for name in (name for name, value in lengths.items() if value > SHORT):
            longer = min(lengths[name], 2 * SHORT)
            _, more, others = self._shortened({**short, name: longer})
            times = (lengths[name] - SHORT) / (longer - SHORT)
            found.facts["seconds"] += times * max(0.0, more - seconds)
            for each in others:
                total[each] = total.get(each, 0) + times * (others[each] - counts[each])
        return found, Counter({name: round(count) for name, count in total.items()})

    def _shortened(self, lengths: Mapping[str, int]) -> tuple[Artifact, float, Counter[str]]:
        """What the attack finds at these lengths, in how many seconds, and what it asks for."""
        whole, before, start = self.experiment, self.counts.copy(), clock()
        try:
            own = {name: Unhurried(value) for name, value in lengths.items()}
            self.experiment = replace(whole, attack=whole.attack.of_length(**own))
            found = super()._attack(0)
            found.facts["at_most"] = any(value.divided for value in own.values())
        finally:
            self.experiment = whole
        found.facts["seconds"], counts = clock() - start, self.counts - before
        self.counts.subtract(counts)
        return found, found.facts["seconds"], counts

    def adversarial_images(self, index: int) -> Tensor:
        """They were not stored."""
        return self.adversarial[index].tensors["images"]

    def draws(
        self, model: nn.Module, images: Tensor, ids: Tensor, purpose: str, count: int, first: int = 0
    ) -> Iterator[Tensor]:
        """The same logits for every draw, or of a defense without f the images as they are.

        Counts the draws, of f alone or of the defended classifier.
        """
        known = self.experiment.adversary.fixed_draws
        count = (known or count) if is_random(model) else 1
        self.counts["undefended" if model is self.classifier else "defended"] += count * len(images)
        with torch.no_grad():
            found = images if model is self.defense else self.free(images)
        yield found.expand(count, *found.shape)
