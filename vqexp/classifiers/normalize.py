"""Input normalization inside the classifier, so that everything outside sees images in [0, 1]."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqexp.core.errors import require


class Normalized(nn.Module):
    """`network` on (images - mean) / std; images (N, C, H, W) in [0, 1] -> its logits (N, num_classes).

    `mean` and `std` hold one number a channel, or a single one for all; None stands for 0 and 1. They are no
    part of the state dict: a checkpoint holds `network` alone. Raises `ConfigError` for a wrong number of
    values (`channels`, if given, is C), one that is not finite, or a `std` that is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        channels: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.training = network, network.training
        self.register_buffer("mean", _per_channel("mean", 0.0 if mean is None else mean, channels), False)
        self.register_buffer("std", _per_channel("std", 1.0 if std is None else std, channels), False)
        require((self.std > 0).all(), "classifier.std must be positive")

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)


def normalized(
    network: nn.Module,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    channels: int,
) -> nn.Module:
    """`network` behind a normalization, or as it is where both are None.

    Of a `Normalized` one the values take the place of its own; what is None stays. Raises as `Normalized`.
    """
    if mean is None and std is None:
        return network
    if isinstance(network, Normalized):
        mean = network.mean.flatten().tolist() if mean is None else mean
        std = network.std.flatten().tolist() if std is None else std
        network = network.network
    return Normalized(network, mean, std, channels)


def _per_channel(name: str, values: float | Sequence[float], channels: int | None) -> Tensor:
    """Shape (1, n, 1, 1), float32."""
    numbers = [values] if isinstance(values, int | float) else list(values)
    allowed = {1, channels} if channels else {1, len(numbers)}
    require(
        numbers and len(numbers) in allowed,
        f"classifier.{name} has {len(numbers)} values; it must have one, or one for each channel",
    )
    require(
        all(isinstance(value, int | float) and math.isfinite(value) for value in numbers),
        f"classifier.{name} is {numbers}; every value must be a finite number",
    )
    return torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1)
