"""A small network of Wong & Kolter (ICML 2018), whose released weights are provably robust."""

from collections.abc import Sequence

from torch import nn

from vqexp.core.errors import require


def convex(shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Two 4 x 4 convolutions of stride 2, 16 and 32 filters, and 100 hidden units, all with ReLU.

    images (N, C, H, W), H and W multiples of 4 -> logits (N, num_classes). Raises `ConfigError` for other
    sizes.
    """
    channels, height, width = shape
    require(
        height % 4 == 0 and width % 4 == 0,
        f"classifier=convex takes images of sides that are multiples of 4, not {height} x {width}",
    )
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 100),
        nn.ReLU(),
        nn.Linear(100, num_classes),
    )
