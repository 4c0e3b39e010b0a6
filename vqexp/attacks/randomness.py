"""An attack's own chance: random starts, squares, noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.core.keys import seed_of

CPU = torch.device("cpu")


class Randomness:
    """Numbers for a batch of N images, each from (seed, id) alone and read in the order of the calls.

    seed: the attack's, in [0, 2^31). ids (N,): the images' rows in their dataset. device: where the numbers
    are made; by default the CPU, so that attacks start from the same points on every device.
    """

    def __init__(self, seed: int, ids: Tensor, device: torch.device = CPU) -> None:
        self._streams = Streams(seed_of("attack", seed), Draw("attack", 0, ids), device)
        # of the batch: for libraries that draw from one generator for all images
        self.seed = seed_of("attack", seed, ids.tolist())

    def uniform(self, *shape: int) -> Tensor:
        """Numbers uniform on [0, 1), (N, *shape) float32."""
        return self._streams.uniform(shape, torch.float32)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, (N, *shape) float32."""
        return self._streams.normal(shape, torch.float32)

    def signs(self, *shape: int) -> Tensor:
        """-1 or 1 with equal chances, (N, *shape) float32."""
        return torch.where(self.uniform(*shape) < 0.5, -1.0, 1.0)
