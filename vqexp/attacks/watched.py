"""The view in the hands of another library's attack."""

import torch
from torch import Tensor, nn

from vqexp.attacks.base import refuse_nan


class Watched(nn.Module):
    """Images (N, C, H, W) -> the view's logits; refuses a NaN gradient, and knows where it was asked last.

    The view is no submodule: a library that switches this one between training and evaluation leaves
    the view's own mode alone.
    """

    def __init__(self, view: nn.Module) -> None:
        super().__init__()
        self.ask = view.__call__
        self.last = torch.empty(0)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        self.last = images.detach()
        if images.requires_grad:
            images = images.view_as(images)  # a hook on the library's own tensor would stay there
            images.register_hook(lambda gradient: refuse_nan("gradient", gradient))
        return self.ask(images)
