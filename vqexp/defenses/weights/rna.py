"""Random normalization aggregation: Dong, Chen, Wang, Xu, "Random Normalization Aggregation for Adversarial
Defense" (NeurIPS 2022)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqexp.core.draws import Streams
from vqexp.core.errors import check_number, require
from vqexp.defenses.weights.installed import Installed, replace_module
from vqexp.defenses.weights.layer import RandomLayer


class RandomNorm(RandomLayer):
    """One of several normalizations, each with parameters and statistics of its own, at equal odds.

    Its mean is the mean of their outputs.
    """

    def __init__(self, norms: Sequence[nn.Module], seed: int = 0) -> None:
        super().__init__(seed)
        self.norms = nn.ModuleList(norms)

    def sampled(self, x: Tensor, streams: Streams | None) -> Tensor:
        if streams is None:
            return torch.stack([norm(x) for norm in self.norms]).mean(0)
        return self.norms[int(len(self.norms) * streams.uniform((1,), torch.float64).item())](x)


class RNA(Installed):
    """Every batch normalization of f gets alternatives, and each layer chooses by itself at every inference.

    group_sizes: of each an alternative, a `GroupNorm` over so many channels; 1 normalizes each channel of
    each image. The released command for CIFAR-10 has batch normalization and this one alone.
    Raises `ConfigError` if a layer's channels cannot be grouped so, if a group is a single value, or if f has
    no batch normalization.
    """

    def __init__(self, *, shape: Sequence[int], group_sizes: Sequence[int] = (1,), seed: int = 0) -> None:
        super().__init__(shape=shape, seed=seed)
        require(group_sizes, "defense.group_sizes is empty; each layer needs an alternative, such as [1]")
        for size in group_sizes:
            check_number("defense.group_sizes", size, low=1, integer=True)
        self.group_sizes = tuple(group_sizes)

    def install(self, classifier: nn.Module) -> nn.Module:
        """Replaces every `BatchNorm2d` by a choice among it and the alternatives."""
        layers = {name: each for name, each in classifier.named_modules() if isinstance(each, nn.BatchNorm2d)}
        require(layers, "defense=rna chooses among normalizations, and this classifier has no BatchNorm2d")
        shapes = self.shapes(classifier, layers)
        for name, layer in layers.items():
            _, channels, *pixels = shapes[name][0]
            for size in self.group_sizes:
                require(
                    channels % size == 0 and size * math.prod(pixels) > 1,
                    f"defense.group_sizes has {size}, but the map at {name} is "
                    f"{' x '.join(map(str, (channels, *pixels)))}: groups must divide the channels and hold "
                    "more than one value",
                )
            groups = [nn.GroupNorm(channels // size, channels) for size in self.group_sizes]
            replace_module(classifier, name, RandomNorm([layer, *groups], self.seed))
        return classifier
