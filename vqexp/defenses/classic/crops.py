"""An ensemble over random crops (Guo et al. 2018, "Countering Adversarial Images using Input
Transformations", section 3.1); Athalye et al. 2018 (section 5.3) break it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import check_number
from vqexp.defenses.classic.ensemble import Ensemble


class RandomCrops(Ensemble):
    """f votes over `count` crops at random places, each enlarged to the image's size again.

    count: >= 1; the paper's are 30. share: of the image's sides, in (0, 1]. seed: in [0, 2^63). vote: as of
    `Ensemble`; the paper averages probabilities.
    """

    random = True
    strength = "share"

    def __init__(self, *, count: int, share: float, vote: str = "probabilities", seed: int = 0) -> None:
        super().__init__(vote=vote)
        check_number("defense.count", count, low=1, integer=True)
        check_number("defense.share", share, above=0, high=1)
        check_number("defense.seed", seed, low=0, high=2**63 - 1, integer=True)
        self.count, self.share, self.seed = count, share, seed

    def versions(self, images: Tensor, draw: Draw) -> Sequence[Tensor]:
        """The crops, bilinear, each image at places of its own."""
        places = Streams(self.seed, draw, images.device).uniform((self.count, 2), torch.float32)
        centers = ((1 - self.share) * (2 * places - 1)).to(images).transpose(0, 1)
        zoom = self.share * torch.eye(2, device=images.device, dtype=images.dtype).expand(len(images), 2, 2)
        return [
            F.grid_sample(
                images,
                F.affine_grid(
                    torch.cat([zoom, center.unsqueeze(2)], 2), list(images.shape), align_corners=False
                ),
                padding_mode="border",
                align_corners=False,
            ).clamp(0, 1)
            for center in centers
        ]
