"""Additive noise: Li et al., "Certified Adversarial Robustness with Additive Noise" (NeurIPS 2019)."""

from typing import ClassVar

import torch
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import check_number, one_of, require
from vqexp.core.inputs import check_images
from vqexp.defenses.base import Defense


class AdditiveNoise(Defense):
    """Adds noise to every pixel (Algorithm 1, line 3); the prediction is the majority over draws.

    noise: `gaussian`, of standard deviation `sigma`; or `laplace`, of scale lambda = `sigma` (its standard
    deviation is sqrt(2) lambda). sigma: >= 0, of pixels in 0..`pixel_max`, which is 1 or 255. clip: into
    [0, 1] again; the certificates hold either way, as clipping can be counted to the classifier. seed: in
    [0, 2^63).
    Raises `ConfigError` for values out of range.
    """

    strength = "sigma"

    NOISES: ClassVar[tuple[str, ...]] = ("gaussian", "laplace")
    random = has_mean = True

    def __init__(
        self,
        *,
        sigma: float,
        noise: str = "gaussian",
        pixel_max: float = 1,
        clip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        one_of("defense.noise", noise, self.NOISES)
        one_of("defense.pixel_max", pixel_max, (1, 255))
        check_number("defense.sigma", sigma, low=0, high=10 * pixel_max)
        check_number("defense.seed", seed, low=0, high=2**63 - 1, integer=True)
        require(isinstance(clip, bool), f"defense.clip is {clip!r}; it must be true or false")
        self.sigma, self.noise, self.pixel_max, self.clip, self.seed = (
            float(sigma),
            noise,
            pixel_max,
            clip,
            seed,
        )

    @property
    def scale(self) -> float:
        """sigma or lambda, of pixels in [0, 1]."""
        return self.sigma / self.pixel_max

    def extra_repr(self) -> str:
        """The parameters, for `print(defense)`."""
        return f"sigma={self.sigma:g}, noise={self.noise}, pixel_max={self.pixel_max}, clip={self.clip}"

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the same shape, outside [0, 1] too unless `clip`."""
        check_images(images)
        draw = self.draw_for(len(images), draw)
        if draw.mean or self.sigma == 0:
            return images
        streams, shape = Streams(self.seed, draw, images.device), images.shape[1:]
        if self.noise == "gaussian":
            noise = streams.normal(shape, images.dtype)
        else:  # the inverse of its distribution function, at a uniform number in (-1/2, 1/2)
            uniform = streams.uniform(shape, torch.float64) - 0.5 + 2.0**-54
            noise = (-uniform.sign() * torch.log1p(-2 * uniform.abs())).to(images.dtype)
        noisy = images + self.scale * noise
        return noisy.clamp(0, 1) if self.clip else noisy
