"""What a metric is: it asks the stages of a run for what it needs and reduces that to numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from vqexp.adversaries.view import View
from vqexp.core.errors import SenselessError, one_of
from vqexp.core.estimate import Estimate
from vqexp.data import Images
from vqexp.defenses import Defense


@dataclass
class Evaluation:
    """predicted int16, correct bool, margin float32: all (runs, n)."""

    predicted: Tensor
    correct: Tensor
    margin: Tensor


class Setup(Protocol):
    """What `vqexp.pipeline.Experiment` offers to a metric's check: components, and no results yet."""

    @property
    def dataset(self) -> Any:
        """The dataset, with its `shape`."""

    @property
    def defense(self) -> Defense:
        """The defense."""

    @property
    def adversary(self) -> Any:
        """The adversary."""

    @property
    def attack(self) -> Any:
        """The attack; nothing is attacked unless it `perturbs`."""


class Run(Protocol):
    """What `vqexp.pipeline.Stages` offers to a metric; every part is computed on demand and kept."""

    @property
    def images(self) -> Images:
        """The test images, with labels and ids."""

    @property
    def chunks(self) -> list[slice]:
        """Rows of each chunk."""

    @property
    def attacked(self) -> bool:
        """There are adversarial images."""

    @property
    def classifier(self) -> nn.Module:
        """f, on the device."""

    @property
    def defense(self) -> Defense:
        """The defense, on the device."""

    @property
    def model(self) -> nn.Module:
        """The defended classifier, on the device."""

    def draws(
        self, model: nn.Module, images: Tensor, ids: Tensor, purpose: str, count: int
    ) -> Iterator[Tensor]:
        """`vqexp.core.sampling.Sampler.draws`, with what this run's adversary knows."""

    @property
    def view(self) -> View:
        """What the attack sees."""

    def adversarial_images(self, index: int) -> Tensor:
        """Adversarial images (n, C, H, W) of one chunk, on the CPU."""

    def inputs(self, index: int, adversarial: bool) -> Tensor:
        """Clean or adversarial images (n, C, H, W) of one chunk, on the device."""

    def known(self, name: str) -> Tensor | None:
        """What the attack knows of each image (n,), such as `perturbed`; None if it says nothing of it."""

    def evaluate(self, *, adversarial: bool, defended: bool, purpose: str, runs: int) -> Evaluation:
        """Predictions on all images under `runs` draws of `purpose`."""

    def votes(self, *, adversarial: bool, purpose: str, draws: int) -> Tensor:
        """How many of the defended classifier's draws give each label, (n, classes) int64."""

    def chunked(
        self,
        kind: str,
        settings: Any,
        compute: Callable[[int], dict[str, Tensor]],
        *,
        adversarial: bool,
        seen: bool = False,
    ) -> dict[str, Tensor]:
        """`compute(index)` for every chunk, each kept in the store under `settings` and all that went before.

        adversarial: on the adversarial images, else on the clean ones. seen: the adversary's view matters.
        Returns the tensors (n, ...) of all chunks, concatenated.
        """


@dataclass
class Measurement:
    """estimates by name; counts: tensors that the record keeps for each image; facts: plain data."""

    estimates: dict[str, Estimate]
    counts: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


COSTS = ("light", "heavy", "extreme")


class Metric:
    """Subclasses say what they measure.

    cost: the cost of an image, one of `COSTS`; the scale sets how many images each cost gets.
    """

    VERSION = 1  # raised whenever results change

    def __init__(self, *, cost: str = "light") -> None:
        one_of("metric.cost", cost, COSTS)

    def check(self, setup: Setup) -> None:
        """Raise `ConfigError` if this metric makes no sense here; called before any work."""

    def measure(self, run: Run) -> Measurement:
        """The metric's numbers for one run."""
        raise NotImplementedError


def needs_attack(name: str, setup: Setup) -> None:
    """Raise `SenselessError` unless there will be adversarial images."""
    if not setup.attack.perturbs:
        raise SenselessError(
            f"metric={name} compares with adversarial images; choose an attack other than none"
        )
