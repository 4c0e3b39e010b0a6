"""What a random layer of a network is."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw, Streams
from vqexp.core.random_module import RandomModule, random_modules


class RandomLayer(RandomModule):
    """A layer of which each inference draws one sample, shared by all images that have its number.

    A subclass implements `sampled`. seed: in [0, 2^63).
    """

    random = has_mean = True
    per_image = False

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def sampled(self, x: Tensor, streams: Streams | None) -> Tensor:
        """The layer on x (N, ...) under one draw: streams of a single row, or None, at its mean."""
        raise NotImplementedError

    def weights(self, streams: Streams) -> Tensor | None:
        """Its random weights, a draw for each row of `streams`: (rows, ...); None if it has none."""
        return None

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, ...) -> the layer's output, a draw's images at once."""
        draw = self.draw_for(len(images), draw)
        if draw.mean or not self.random:
            return self.sampled(images, None)
        numbers, which, counts = (
            torch.as_tensor(draw.number).expand(len(images)).unique(return_inverse=True, return_counts=True)
        )
        ids = torch.zeros(1, dtype=torch.int64)
        streams = [
            Streams(self.seed, replace(draw, number=number, ids=ids), images.device)
            for number in numbers.tolist()
        ]
        if len(streams) == 1:
            return self.sampled(images, streams[0])
        order = which.argsort(stable=True)
        parts = images[order].split(counts.tolist())
        outputs = [self.sampled(*each) for each in zip(parts, streams, strict=True)]
        return torch.cat(outputs)[order.argsort()]


def drawn_weights(model: nn.Module, numbers: Tensor) -> Tensor:
    """All random weights of `model` under the evaluation's draws `numbers` (R,): (R, weights), on the CPU."""
    found = [torch.empty(len(numbers), 0)]
    for place, layer in enumerate(random_modules(model)):
        if isinstance(layer, RandomLayer):
            draw = Draw("report", numbers, torch.zeros_like(numbers), place)
            weights = layer.weights(Streams(layer.seed, draw, next(layer.parameters()).device))
            found += [] if weights is None else [weights.detach().flatten(1).cpu()]
    return torch.cat(found, 1)
