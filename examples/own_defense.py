"""A random defense of your own: any module on images. In this folder:

vqexp -m defense._target_=own_defense.RandomMask defense.share=0.1,0.2 attack=pgd adversary=eot
"""

import torch
from torch import Tensor, nn


class RandomMask(nn.Module):
    """Blanks out a random share of the pixels. Each run seeds torch's generator, image by image."""

    strength = "share"  # optional: the setting along which an audit draws a curve

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Tensor:
        return images * (torch.rand_like(images) > self.share)
