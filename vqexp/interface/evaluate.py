"""`vqexp.evaluate`: one attack on a model that exists as an object, by the code behind one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from vqexp.core.components import own_choices
from vqexp.core.config import CONF, register_resolvers
from vqexp.core.errors import SenselessError
from vqexp.core.estimate import Estimate
from vqexp.core.store import Store
from vqexp.core.text import interval, value
from vqexp.interface.subject import subject
from vqexp.metrics import Member
from vqexp.pipeline import prepare, read
from vqexp.pipeline.record import Record
from vqexp.reports.sweep.one import run_one

ADVERSARIES = ("exact", "ste", "oblivious")  # the first that makes sense, unless one is chosen


@dataclass(frozen=True)
class Evaluation:
    """One attack on a model.

    metrics: estimates by name, such as `robust_accuracy`. ids (n,): the images' places in what was given,
    ascending; per_image (n,): of an image's draws the share that is right under attack, or without one if the
    attack is `none`. notes: what was measured of the model.
    """

    metrics: dict[str, Estimate]
    ids: Tensor
    per_image: Tensor
    notes: Sequence[str]
    record: Record

    def __str__(self) -> str:
        lines = [
            f"{estimate.title or name:<45} {value(estimate):>16} {interval(estimate)}"
            for name, estimate in self.metrics.items()
        ]
        return "\n".join([*self.notes, self.record.facts["adversary"], *lines])

    __repr__ = __str__


def evaluate(
    model: nn.Module,
    images: Any,
    labels: Tensor | None = None,
    *,
    attack: str = "pgd",
    adversary: str | None = None,
    eps: float = 8 / 255,
    norm: str = "linf",
    defense: nn.Module | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    settings: Sequence[str] = (),
) -> Evaluation:
    """Returns the natural and robust accuracy of `model` under one attack, on all images.

    attack, adversary: names as on the command line. adversary None: the true gradient of the model with its
    defense where there is one, else straight through the defense. settings: further overrides, such as
    `attack.steps=100`. The other arguments are `vqexp.audit`'s. Raises `ConfigError` for what makes no sense.
    """
    about = subject(model, images, labels, defense=defense, eps=eps, norm=norm, seed=seed, store=store)
    shared = [f"attack={attack}", *about.settings, "dataset.n=null", *own_choices(settings)]
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for name in (adversary,) if adversary else ADVERSARIES:
            overrides = [f"adversary={name}", *shared]
            config = compose("config", overrides=overrides)
            try:
                prepare(config, check_store=False)
            except SenselessError:
                if name in (adversary, ADVERSARIES[-1]):
                    raise
            else:
                break
        record = read(run_one(config, None, overrides, told=False))
    artifact = Store(config.store.root).load("counts", record.key)
    assert artifact is not None
    kind = "adversarial" if "adversarial_report_outcomes" in artifact.tensors else "natural"
    member = Member.from_counts(artifact.tensors, kind)
    order = member.ids.argsort()
    return Evaluation(
        record.metrics, member.ids[order], member.outcomes.double().mean(0)[order], about.notes, record
    )
