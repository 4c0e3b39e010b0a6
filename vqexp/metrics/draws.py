"""Many draws of a random module on the same images."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vqexp.defenses import Draw, call

AT_ONCE = 512  # images in one call: enough for a GPU, and no more memory than an attack takes


@torch.no_grad()
def draws_of(model: nn.Module, images: Tensor, ids: Tensor, draws: int) -> Iterator[Tensor]:
    """model(images) under the `report` draws 0 to draws - 1, a few at a time: yields (some, N, ...).

    images (N, C, H, W) with their ids (N,) in the dataset. A module that knows no draws makes its own.
    """
    n = len(images)
    for numbers in torch.arange(draws).split(max(1, AT_ONCE // n)):
        draw = Draw("report", numbers.repeat_interleave(n), ids.repeat(len(numbers)))
        outputs = call(model, images.repeat(len(numbers), 1, 1, 1), draw)
        yield outputs.unflatten(0, (len(numbers), n))
