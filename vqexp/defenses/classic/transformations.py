"""An ensemble over input transformations, as of feature squeezing (Xu et al. 2018) but with a vote.

He et al. 2017, "Adversarial Example Defenses: Ensembles of Weak Defenses are not Strong", break such ones.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.core.errors import check_number
from vqexp.defenses.classic.ensemble import Ensemble
from vqexp.defenses.classic.squeeze import BitDepth


class Transformations(Ensemble):
    """f votes over the image itself, the image in fewer bits, blurred, and shifted by a pixel to either side.

    bits: of the image in fewer bits, 1 to 8. vote: as of `Ensemble`.
    """

    def __init__(self, *, bits: int, vote: str = "probabilities") -> None:
        super().__init__(vote=vote)
        check_number("defense.bits", bits, low=1, high=8, integer=True)
        self.fewer = BitDepth(bits=bits)

    def versions(self, images: Tensor, draw: Draw) -> Sequence[Tensor]:
        """Five versions."""
        wide = F.pad(images, [1, 1, 1, 1], mode="replicate")
        blurred = F.avg_pool2d(wide, 3, stride=1)
        return [images, self.fewer(images), blurred, wide[:, :, 1:-1, 2:], wide[:, :, 1:-1, :-2]]
