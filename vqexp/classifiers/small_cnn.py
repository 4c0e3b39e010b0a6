"""A small convolutional network for the embedded default: trained in seconds on a CPU."""

from collections.abc import Sequence

from torch import nn

from vqexp.core.errors import check_number

WIDEST = 2**12  # channels; a wider one is a slip


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def small_cnn(shape: Sequence[int], num_classes: int, width: int = 32) -> nn.Sequential:
    """Three 3 x 3 convolutions, `width`, 2 `width` and 4 `width` channels, and a linear layer.

    Not in the papers. Takes images (N, C, H, W) in [0, 1] of 2 x 2 pixels and up (`shape` is (C, H, W); made
    for 8 x 8), returns logits (N, num_classes). Raises `ConfigError` unless
    `width` is 1 to `WIDEST`.
    """
    check_number("classifier.width", width, low=1, high=WIDEST, integer=True)
    return nn.Sequential(
        _conv(shape[0], width),
        _conv(width, 2 * width),
        nn.MaxPool2d(2),
        _conv(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )
