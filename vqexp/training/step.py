"""What an objective gets besides the model: a batch, and where in the training it stands."""

from typing import NamedTuple

from torch import Tensor

from vqexp.core.draws import Draw

DRAWS = 2**10  # draws that one step may take
OWN = 512  # the first of those that are left to the objective


class Batch(NamedTuple):
    """Augmented images (N, C, H, W) in [0, 1], labels (N,) and dataset rows (N,), all on the device."""

    images: Tensor
    labels: Tensor
    ids: Tensor


class Step(NamedTuple):
    """epoch and number: of the step, both from 0, the number through all epochs."""

    epoch: int
    number: int

    def draw(self, ids: Tensor, part: int = 0) -> Draw:
        """A draw for the model's random modules.

        Part 0 is the update's, 1 to 511 are the inner attack's, 512 to 1023 an objective's own.
        """
        return Draw("train", self.number * DRAWS + part, ids)
