"""Wide residual networks (Zagoruyko and Komodakis, 2016): the papers' classifier on CIFAR-100."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.errors import check_number, require


class _Block(nn.Module):
    """BN, ReLU, conv, BN, ReLU, dropout, conv, plus the input (projected where the shape changes)."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = inputs != outputs or stride != 1
        self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out = F.relu(self.bn2(self.conv1(active)))
        out = self.conv2(F.dropout(out, self.dropout, self.training))
        return out + (x if self.convShortcut is None else self.convShortcut(active))


class _Group(nn.Module):
    """`count` blocks, of which the first changes the width and the resolution."""

    def __init__(self, count: int, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        first = _Block(inputs, outputs, stride, dropout)
        self.layer = nn.Sequential(first, *(_Block(outputs, outputs, 1, dropout) for _ in range(count - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """A pre-activation wide ResNet; parameter names are those of RobustBench, whose files therefore load."""

    def __init__(
        self, channels: int, num_classes: int, depth: int, widen_factor: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        count = (depth - 4) // 6
        widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.block1 = _Group(count, 16, widths[0], 1, dropout)
        self.block2 = _Group(count, widths[0], widths[1], 2, dropout)
        self.block3 = _Group(count, widths[1], widths[2], 2, dropout)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> logits (N, num_classes)."""
        out = self.block3(self.block2(self.block1(self.conv1(images))))
        out = F.adaptive_avg_pool2d(F.relu(self.bn1(out)), 1)
        return self.fc(torch.flatten(out, 1))


def wide_resnet(
    shape: Sequence[int], num_classes: int, depth: int = 28, widen_factor: int = 10, dropout: float = 0.0
) -> WideResNet:
    """WRN-`depth`-`widen_factor` for small images: 28-10 in the journal paper, 34-10 in CTRW.

    Takes images (N, C, H, W) in [0, 1] with C from `shape` (C, H, W), returns logits (N, num_classes). Raises
    `ConfigError` unless `depth` is 6 n + 4 with n >= 1, `widen_factor` >= 1 and `dropout` is in [0, 1).
    """
    check_number("classifier.depth", depth, low=10, high=1000, integer=True)
    require(depth % 6 == 4, f"classifier.depth is {depth}; it must be 6 n + 4 with n at least 1")
    check_number("classifier.widen_factor", widen_factor, low=1, high=100, integer=True)
    check_number("classifier.dropout", dropout, low=0, below=1)
    return WideResNet(shape[0], num_classes, depth, widen_factor, dropout)
