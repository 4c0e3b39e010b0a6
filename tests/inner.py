"""A defense inside f: Gaussian noise on what its layers get."""

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw, Streams
from vqexp.core.random_module import RandomModule
from vqexp.defenses import Defense


class NoiseLayer(RandomModule):
    """x + sigma * noise, x (N, ...)."""

    random = has_mean = True

    def __init__(self, sigma: float, per_image: bool = True) -> None:
        super().__init__()
        self.sigma, self.per_image = nn.Parameter(torch.tensor(sigma)), per_image

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        draw = self.draw_for(len(images), draw)
        if draw.mean:
            return images
        return images + self.sigma * Streams(0, draw, images.device).normal(images.shape[1:], images.dtype)


class InnerNoise(Defense):
    """The layer in front of f's first one; sigma is trained with f."""

    random = has_mean = True

    def __init__(self, sigma: float = 0.1, per_image: bool = True) -> None:
        super().__init__()
        self.sigma, self.per_image = sigma, per_image

    def install(self, classifier: nn.Module) -> nn.Module:
        return nn.Sequential(NoiseLayer(self.sigma, self.per_image), classifier)
