"""The arithmetic of a classifier."""

import torch
from torch import Tensor, nn

PRECISIONS = ("float32", "bfloat16")


class BFloat16(nn.Module):
    """`classifier` with its products in bfloat16 where that is safe (torch's autocast), float32 elsewhere.

    Images (N, C, H, W) in [0, 1], float32 -> logits (N, num_classes), float32.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier, self.training = classifier, classifier.training

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            logits = self.classifier(images)
        return logits.float()
