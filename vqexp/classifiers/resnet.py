"""ResNet18 for small images: the papers' classifier on MNIST and CIFAR-10."""

from collections.abc import Sequence

from torch import nn


def resnet18(shape: Sequence[int], num_classes: int) -> nn.Module:
    """torchvision's ResNet18 with a stem that keeps the resolution of small images.

    `conv1` is a 3 x 3 convolution of stride 1 without bias over the C channels of `shape` (C, H, W) and
    `maxpool` is the identity; every other part, and every parameter name, is torchvision's. Takes images
    (N, C, H, W) in [0, 1], returns logits (N, num_classes).
    """
    from torchvision import models  # slow to import, and not needed for other classifiers

    network = models.resnet18(num_classes=num_classes)
    network.conv1 = nn.Conv2d(shape[0], 64, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


def resnet18_torchvision(shape: Sequence[int], num_classes: int) -> nn.Module:
    """torchvision's ResNet18 with its own stem (7 x 7, stride 2, then max-pooling), for C channels.

    The journal paper says "ResNet18" and no more; this is the other reading, 16 times cheaper.
    """
    from torchvision import models  # as above

    network = models.resnet18(num_classes=num_classes)
    if shape[0] != 3:
        network.conv1 = nn.Conv2d(shape[0], 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network
