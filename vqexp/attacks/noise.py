"""Random noise: the control of an audit."""

from torch import Tensor

from vqexp.adversaries.view import View
from vqexp.attacks.base import Adversarial, Attack, distance, project
from vqexp.attacks.randomness import Randomness


class RandomNoise(Attack):
    """One random point as far from the image as the norm allows, without a look at the view.

    l-inf: eps times random signs. l2: a uniform direction, of length eps. Then clipped to [0, 1].
    """

    VERSION = 2
    needs_gradient = False
    by_image = True

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The images with noise."""
        noise = randomness.normal(images.shape[1:])
        noise = (
            noise.sign() if self.norm == "linf" else noise / distance(noise, "l2").float().view(-1, 1, 1, 1)
        )
        return Adversarial(project(images + self.eps * noise.to(images), images, self.eps, self.norm))
