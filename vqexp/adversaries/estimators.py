"""How an attacker differentiates a preprocessor g: stand-ins with the same forward pass and a gradient."""

from typing import Any

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.inputs import check_kept_shape
from vqexp.core.random_module import call, name_of
from vqexp.defenses import Defense


class Forward(torch.autograd.Function):
    """Forward `output`, backward to `stand_in`: exact, unlike stand_in + (output - stand_in)."""

    @staticmethod
    def forward(ctx: Any, stand_in: Tensor, output: Tensor) -> Tensor:
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class StraightThrough(Defense):
    """g forward, the identity backward: the gradient of f is taken at g(x).

    Athalye et al. 2018 (BPDA); journal, eq. 13. `defense` is any module that keeps the images' shape.
    """

    def __init__(self, defense: nn.Module) -> None:
        super().__init__()
        self.defense = defense

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) -> g(images), of the same shape."""
        with torch.no_grad():
            output = self.defense(images) if draw is None else call(self.defense, images, draw)
            check_kept_shape(name_of(self.defense), images, output)
        return Forward.apply(images, output)
