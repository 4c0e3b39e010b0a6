"""A small residual network: what two CPU cores can train adversarially."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from vqexp.classifiers.small_cnn import WIDEST
from vqexp.core.errors import check_number


def small_resnet(shape: Sequence[int], num_classes: int, width: int = 32) -> nn.Sequential:
    """A 3 x 3 stem of stride 2, and three of torchvision's basic blocks: 0.31 M parameters at width 32.

    The blocks have `width`, 2 `width` and 4 `width` channels, the second and third halve the map. Not in the
    papers; made for 28 x 28 and 32 x 32. Takes images (N, C, H, W) in [0, 1] (`shape` is (C, H, W)), returns
    logits (N, num_classes). Raises `ConfigError` unless `width` is 1 to `WIDEST`.
    """
    from torchvision.models.resnet import BasicBlock, conv1x1  # slow to import, and not needed for others

    check_number("classifier.width", width, low=1, high=WIDEST, integer=True)

    def halving(channels: int) -> nn.Module:
        shortcut = nn.Sequential(conv1x1(channels, 2 * channels, 2), nn.BatchNorm2d(2 * channels))
        return BasicBlock(channels, 2 * channels, 2, shortcut)

    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(shape[0], width, 3, stride=2, padding=1, bias=False),
            bn1=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            layer1=BasicBlock(width, width),
            layer2=halving(width),
            layer3=halving(2 * width),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(4 * width, num_classes),
        )
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
