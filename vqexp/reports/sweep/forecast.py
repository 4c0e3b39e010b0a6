"""How long runs would take on this machine: what they ask for, times what that costs here.

What a run asks for is counted in its rehearsal, what it costs is timed in ten seconds at most, and kept in
the store. Where a record of the same device tells what an attack took, that counts. Runs share artifacts, and
one that is in the store costs nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from omegaconf import DictConfig

from vqexp.core.errors import MissingError, WorkError
from vqexp.core.keys import key_of
from vqexp.data import Images
from vqexp.pipeline import prepare
from vqexp.pipeline.drill import drill
from vqexp.pipeline.foundation import Foundation
from vqexp.pipeline.pace import LIMIT, Pace, UntimedError, is_ready
from vqexp.pipeline.provenance import device_name
from vqexp.pipeline.record import Record
from vqexp.pipeline.rehearsal import BY_CALL, Rehearsal, Stage, enough
from vqexp.pipeline.stages import Stages
from vqexp.pipeline.stopwatch import clock
from vqexp.training import Descent

READ = 64  # images, from which the time of reading more is told
UNTRIED = "extreme"  # cost of a metric that is too much for a rehearsal


class Forecast:
    """Of runs in the order in which they would be made."""

    def __init__(self) -> None:
        self.hurried = False  # the time for timing was too short
        self.at_most = False  # the last run's attack may stop early, and how often is not known
        self._paces: dict[tuple[str, str], Pace] = {}  # by store and device
        self._images: dict[str, tuple[Images, float]] = {}
        self._done: dict[str, int] = {}  # stage -> on how many images it would be done by now
        self._chunks: set[str] = set()  # of adversarial images
        self._trained: set[str] = set()

    def seconds(self, config: DictConfig, records: Sequence[Record] = ()) -> float | None:
        """What a run adds to those asked about before; None where that is not known.

        records: earlier ones of the same cell. Raises `MissingError` if the run cannot be made here, and
        `ConfigError` for what is wrong with it.
        """
        self.at_most = False
        start = clock()
        experiment = prepare(config, check_store=False)
        stages = Stages(replace(experiment, compile=False))  # to compile f may take longer than the forecast
        total = clock() - start + self._read(stages)  # the run will do this too
        pace = self._pace(stages)
        try:
            parts = [*self._training(stages, pace), *self._stages(stages, records, pace)]
        except UntimedError:
            self.hurried = True
            return None
        except WorkError:  # on the way to numbers that nobody needs
            return None
        finally:
            pace.keep()
        return None if None in parts else total + sum(part for part in parts if part is not None)

    def _pace(self, stages: Stages) -> Pace:
        store, device = stages.experiment.store, stages.experiment.device
        key = str(store.root), str(device)
        if key not in self._paces:
            self._paces[key] = Pace(store, device)
        return self._paces[key]

    def _training(self, stages: Stages, pace: Pace) -> Iterator[float | None]:
        new: list[Foundation] = [each for each in (stages, stages.seen) if not is_ready(each)]
        tuned = [each.untuned for each in new if each.experiment.fine_tuning is not None]
        new += [each for each in tuned if not is_ready(each)]
        for key, each in {each.classifier_key: each for each in new}.items():
            if key not in self._trained:
                self._trained.add(key)
                yield _trained(each, pace)

    def _read(self, stages: Stages) -> float:
        """Seconds that reading the images takes, told from a few, which then stand for all.

        Runs on the same ones are told what the first took.
        """
        dataset = stages.experiment.dataset
        key, start = key_of(stages.experiment.identity("dataset")), clock()
        if key not in self._images:
            labels, ids = dataset.order("test", dataset.n)
            few = dataset.load("test", min(READ, len(ids)))
            images = few.subset(torch.arange(len(ids)) % len(few))
            images.labels, images.ids = labels, ids
            self._images[key] = images, (clock() - start) * len(ids) / len(few)
        stages.__dict__["images"], seconds = self._images[key]
        return seconds

    def _stages(self, stages: Stages, records: Sequence[Record], pace: Pace) -> Iterator[float | None]:
        experiment, n = stages.experiment, len(stages.images)
        here = [each for each in records if each.provenance.device == device_name(experiment.device)]
        known = max(here, key=lambda each: each.provenance.date, default=None)
        metrics = [experiment.metric, *experiment.further.values()]
        layers = any(metric.LAYERS for metric in metrics)
        if layers and not experiment.attack.perturbs:
            return  # to look at f takes no time
        untried = experiment.config["metric"].get("cost") == UNTRIED
        if layers or (untried and experiment.config["scale"]["name"] != "smoke"):
            yield None if known is None else sum(known.provenance.seconds.values()) * n / _images_of(known)
            return
        clean = stages.images.pixels(slice(0, enough(experiment)))
        fails, succeeds = (Rehearsal(experiment, clean, steady=steady).stages() for steady in (True, False))
        for stage, other in zip(fails, succeeds, strict=True):
            if stage.kind != "adversarial":
                new = max(0, n - self._done.get(stage.key, 0))
                self._done[stage.key] = max(n, self._done.get(stage.key, 0))
                yield _cost(stages, stage, new, len(clean), pace)
                continue
            new = self._attacked(stages)
            if known is not None and "adversarial" in known.provenance.seconds:
                yield known.provenance.seconds["adversarial"] * new / _images_of(known)
            elif new:
                most, least = (_cost(stages, each, new, len(clean), pace) for each in (stage, other))
                resisting = pace.resisting(stages) if stage.counts != other.counts else 1.0
                self.at_most |= resisting is None or stage.at_most
                share = 1.0 if resisting is None else resisting
                yield share * most + (1 - share) * least

    def _attacked(self, stages: Stages) -> int:
        """How many images are still to be attacked."""
        store, new = stages.experiment.store, 0
        for key, rows in zip(stages.adversarial_keys, stages.chunks, strict=True):
            if key not in self._chunks and not store.path("adversarial", key).exists():
                new += rows.stop - rows.start
            self._chunks.add(key)
        return new


def _cost(stages: Stages, stage: Stage, images: int, of: int, pace: Pace) -> float:
    """Seconds of a stage on `images`, by its rehearsal on `of`."""
    if not images:
        return 0.0
    asked = sum(count / of * images * pace.of(what, stages) for what, count in stage.counts.items())
    own = images / (stages.chunks[0].stop if stage.kind in BY_CALL else of)
    return asked + own * stage.seconds


def _trained(foundation: Foundation, pace: Pace) -> float | None:
    """Seconds that f's last training takes; None for one whose parts are not known."""
    experiment, training = foundation.experiment, foundation.experiment.last_training
    if not isinstance(training, Descent):
        return None
    own, asked = drill(experiment, training, foundation.defense)
    costs = pace.learning(foundation)
    labels, _ = experiment.dataset.order("train", experiment.dataset.train_n)
    seen = len(labels) * training.epochs
    return seen * (own + sum(costs[name] * count for name, count in asked.items()))


def _images_of(record: Record) -> int:
    return record.config["dataset"]["n"] or max(each.n for each in record.metrics.values())


def foretold(runs: Iterable[tuple[DictConfig, Sequence[Record]]]) -> list[str]:
    """The time of each run, with earlier records of it, as text; prints what several take together.

    What cannot run here is named in a line. Raises `ConfigError` for what is wrong with a run.
    """
    forecast, texts, total, missing = Forecast(), list[str](), 0.0, Counter[str]()
    about = "about"
    for config, records in runs:
        try:
            seconds = forecast.seconds(config, records)
        except MissingError as error:
            missing[str(error)] += 1
            texts.append("not here")
        else:
            total += seconds or 0.0
            limit = "up to " if forecast.at_most else ""
            about = "up to" if forecast.at_most else about
            texts.append("not known" if seconds is None else f"{limit}{duration(seconds)}")
    for message, count in missing.items():
        print(f"cannot run here ({count} of {len(texts)}): {message}")
    if len(texts) > 1:
        untold = texts.count("not known")
        beside = f", beside {untold} of unknown time" if untold else ""
        count = len(texts) - texts.count("not here") - untold
        new = "1 run takes" if count == 1 else f"{count} runs take"
        print(f"{new} {about} {duration(total)} on this machine{beside}", flush=True)
    if forecast.hurried:
        print(f"the next dry_run knows more: each times networks and defenses for {LIMIT:g} s at most")
    return texts


def duration(seconds: float) -> str:
    """`3 s`, `40 min`, `2.5 h`, `12 d`: no more digits than an estimate deserves."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{max(round(seconds), 1)} s"
