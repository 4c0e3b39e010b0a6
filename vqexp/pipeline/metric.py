"""What a metric is: it asks the stages of a run for what it needs and reduces that to numbers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vqexp.core.errors import SenselessError, one_of
from vqexp.core.estimate import Estimate

if TYPE_CHECKING:
    from vqexp.pipeline.experiment import Experiment
    from vqexp.pipeline.stages import Stages


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
    LAYERS = False  # whether it looks at f's own layers, which a forecast's rehearsal does not have

    def __init__(self, *, cost: str = "light") -> None:
        one_of("metric.cost", cost, COSTS)

    def check(self, experiment: "Experiment") -> None:
        """Raise `ConfigError` if this metric makes no sense here; called before any work."""

    def measure(self, stages: "Stages") -> Measurement:
        """The metric's numbers for one run, from the stages that it asks for."""
        raise NotImplementedError


def needs_attack(name: str, experiment: "Experiment") -> None:
    """Raise `SenselessError` unless there will be adversarial images."""
    if not experiment.attack.perturbs:
        raise SenselessError(
            f"metric={name} compares with adversarial images; choose an attack other than none"
        )
