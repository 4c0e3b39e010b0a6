"""Calibration controls, not defenses: examples of what NOT to trust.

They change no prediction and stop only attacks that follow the gradient. An audit must say so by name:
gradient masking (Papernot et al. 2017; Athalye et al. 2018, "Obfuscated Gradients Give a False Sense of
Security").
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.defenses.base import Defense

SATURATED = 1e6  # logit of the predicted class: cross-entropy is then 0 or 1e6, and nothing between


class Detached(Defense):
    """The identity with a gradient of zero (a shattered gradient). Straight-through undoes it."""

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) -> the same values; their gradient with respect to `images` is zero everywhere."""
        return images.detach() + 0 * images


class Saturated(Defense):
    """Logits become 1e6 for the predicted class and 0 for the others; their gradient is zero.

    It acts on logits and is no preprocessor: straight-through, which differentiates preprocessors, does not
    apply. f without it predicts the same, so the gradient of f alone (adversary=oblivious) undoes it.
    """

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """`images` themselves: nothing happens to them before f."""
        return images

    def wrap(self, classifier: nn.Module) -> nn.Module:
        """classifier with saturated logits: images (N, C, H, W) in [0, 1] -> (N, classes)."""
        return nn.Sequential(classifier, Saturate())


class Saturate(nn.Module):
    """Logits (N, classes) -> 1e6 at the highest, 0 elsewhere."""

    def forward(self, logits: Tensor) -> Tensor:
        predicted = F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
        # a gradient of zero, where attacks expect one at all
        return SATURATED * predicted + 0 * logits
