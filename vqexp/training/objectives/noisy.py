"""Training on noisy images: what stability training and Gaussian augmentation share."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.defenses import AdditiveNoise
from vqexp.training.objectives.base import Objective
from vqexp.training.step import OWN, Batch, Step


@dataclass(kw_only=True)
class Noisy(Objective):
    """sigma, noise, pixel_max: those of `vqexp.defenses.AdditiveNoise`; each step takes fresh draws of it.

    Raises `ConfigError` for values out of range.
    """

    sigma: float
    noise: str = "gaussian"
    pixel_max: float = 1
    added: AdditiveNoise = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.added = AdditiveNoise(sigma=self.sigma, noise=self.noise, pixel_max=self.pixel_max)

    def noisy(self, batch: Batch, step: Step) -> Tensor:
        """The images (N, C, H, W) with this step's noise, not clipped."""
        return self.added(batch.images, draw=self._draw(batch, step))

    def predict(self, model: nn.Module, batch: Batch, step: Step) -> Tensor:
        """Logits (N, classes) in one draw of the noise."""
        return model(self.noisy(batch, step))

    def _draw(self, batch: Batch, step: Step) -> Draw:
        return step.draw(batch.ids, OWN)
