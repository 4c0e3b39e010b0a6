"""The two networks of Li et al. (NeurIPS 2019), section 6 and their released code."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.errors import require

CIFAR_LAYERS = ((96, 5), (96, 1), (192, 5), (192, 1), (256, 3), (256, 1))  # channels, kernel size
POOLED = (2, 4)  # after how many convolutions the map is halved


def stn_mnist(shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Two 5 x 5 convolutions of 64 filters without padding, 128 hidden units, dropout 0.25 and 0.5.

    images (N, C, H, W) of 9 x 9 pixels and up -> logits (N, num_classes). Raises `ConfigError` for smaller
    ones.
    """
    channels, height, width = shape
    require(
        min(height, width) > 8, f"classifier=stn_mnist takes images of 9 x 9 and up, not {height} x {width}"
    )
    return nn.Sequential(
        nn.Conv2d(channels, 64, 5),
        nn.ReLU(),
        nn.Conv2d(64, 64, 5),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * (height - 8) * (width - 8), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, num_classes),
    )


class STNCifar(nn.Module):
    """Seven convolutions with ELU, two pools of 3 x 3 at stride 2, and the mean over the last map.

    images (N, C, H, W) of 4 x 4 pixels and up -> logits (N, num_classes). Padding keeps the size, as
    TensorFlow's "same" does: the pools are padded right and bottom. Dropout 0.5 follows each pool.
    """

    def __init__(self, shape: Sequence[int], num_classes: int) -> None:
        super().__init__()
        channels = shape[0]
        for number, (filters, size) in enumerate(CIFAR_LAYERS, 1):
            self.add_module(f"conv{number}", nn.Conv2d(channels, filters, size, padding=size // 2))
            channels = filters
        self.conv7 = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, num_classes)."""
        values = images
        for number in range(1, len(CIFAR_LAYERS) + 1):
            values = F.elu(self.get_submodule(f"conv{number}")(values))
            if number in POOLED:
                right, bottom = (1 if size % 2 == 0 else 0 for size in (values.shape[3], values.shape[2]))
                left, top = 1 - right, 1 - bottom  # an odd size is padded by one on either side
                padded = F.pad(values, (left, 1, top, 1), value=float("-inf"))
                values = F.dropout(F.max_pool2d(padded, 3, 2), 0.5, self.training)
        return self.conv7(values).mean((2, 3))
