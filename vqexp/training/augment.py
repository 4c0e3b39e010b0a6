"""Random crops and flips of a whole batch at once, on its own device."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

AUGMENTS = ("none", "crop_flip", "shift")


def augment(name: str, images: Tensor, generator: Generator) -> Tensor:
    """`images` (N, C, H, W) in [0, 1] -> same shape and range; `generator` lives on the CPU.

    `none` leaves them as they are; `crop_flip` pads 4 black pixels a side, crops at random and flips left and
    right with probability 1/2 (CIFAR's usual augmentation); `shift` moves them by up to 2 pixels a side
    (MNIST).
    """
    if name == "crop_flip":
        return _crop(images, 4, True, generator)
    return _crop(images, 2, False, generator) if name == "shift" else images


def _crop(images: Tensor, padding: int, flip: bool, generator: Generator) -> Tensor:
    """A crop of each image's own from `images` padded with black on every side, gathered by index."""
    count, channels, height, width = images.shape
    device = images.device
    offsets = torch.randint(2 * padding + 1, (2, count, 1), generator=generator).to(device)
    rows = offsets[0] + torch.arange(height, device=device)
    columns = offsets[1] + torch.arange(width, device=device)
    if flip:
        flipped = torch.rand((count, 1), generator=generator).to(device) < 0.5
        columns = torch.where(flipped, columns.flip(1), columns)
    which = torch.arange(count, device=device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, -1, 1, 1)
    padded = F.pad(images, [padding] * 4)
    return padded[which, channel, rows[:, None, :, None], columns[:, None, None, :]]
