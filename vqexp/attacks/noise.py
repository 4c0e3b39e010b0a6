"""Random noise: the control of an audit."""

import torch
from torch import Tensor, nn

from vqexp.attacks.base import Adversarial, Attack, distance, project


class RandomNoise(Attack):
    """One random point as far from the image as the norm allows, without a look at the view.

    l-inf: eps times random signs. l2: a uniform direction, of length eps. Then clipped to [0, 1].
    """

    needs_gradient = False

    def perturb(self, view: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Adversarial:
        """The images with noise."""
        generator = torch.Generator().manual_seed(seed)  # on the CPU: the same noise on every device
        noise = torch.randn(images.shape, generator=generator)
        noise = (
            noise.sign() if self.norm == "linf" else noise / distance(noise, "l2").float().view(-1, 1, 1, 1)
        )
        return Adversarial(project(images + self.eps * noise.to(images), images, self.eps, self.norm))
