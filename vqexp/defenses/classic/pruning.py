"""Stochastic activation pruning (Dhillon et al. 2018, "Stochastic Activation Pruning for Robust Adversarial
Defense"); Athalye et al. 2018 (section 5.3.1) break it by averaging gradients over draws."""

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import check_number
from vqexp.core.random_module import RandomModule
from vqexp.defenses.base import Defense
from vqexp.defenses.classic.kwta import relus
from vqexp.defenses.weights.installed import replace_module


class Pruned(RandomModule):
    """Drops activations at random, the smaller the likelier, and scales the others up so that the mean stays.

    Of D activations of an image, each is kept with the chance that `share` * D samples in proportion to their
    absolute values hit it; the paper draws these samples, here each activation is kept independently. In the
    gradient these chances count as constants. Off in training mode: the paper prunes a trained network.
    """

    random = has_mean = True

    def __init__(self, share: float, seed: int = 0) -> None:
        super().__init__()
        self.share, self.seed = share, seed

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, ...) -> the same shape."""
        draw = self.draw_for(len(images), draw)
        if draw.mean or self.training:
            return images
        flat = images.flatten(1)
        size = flat.detach().abs()
        chance = size / size.sum(1, keepdim=True).clamp(min=1e-12)
        kept = -torch.expm1(self.share * flat.shape[1] * torch.log1p(-chance))
        uniform = Streams(self.seed, draw, images.device).uniform(flat.shape[1:], flat.dtype)
        return torch.where(uniform < kept, flat / kept.clamp(min=1e-12), 0).view_as(images)


class ActivationPruning(Defense):
    """Prunes the output of every ReLU of f, with draws of its own for each image.

    share: samples as a share of the activations, > 0; the paper's SAP-100 has 1. seed: in [0, 2^63). Raises
    `ConfigError` if f has no `nn.ReLU`.
    """

    random = has_mean = True
    strength = "share"

    def __init__(self, *, share: float, seed: int = 0) -> None:
        super().__init__()
        check_number("defense.share", share, above=0)
        check_number("defense.seed", seed, low=0, high=2**63 - 1, integer=True)
        self.share, self.seed = share, seed

    def install(self, classifier: nn.Module) -> nn.Module:
        """Adds the pruning after every ReLU."""
        for name in relus(classifier, "activation_pruning"):
            relu = classifier.get_submodule(name)
            replace_module(classifier, name, nn.Sequential(relu, Pruned(self.share, self.seed)))
        return classifier
