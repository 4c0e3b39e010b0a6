"""How a classifier is computed: in which precision, and compiled or not."""

from functools import cache

import torch
from torch import Tensor, nn

from vqexp.core.errors import ConfigError

PRECISIONS = ("float32", "bfloat16")
FEW = 2  # images, by which also is told how much memory one takes


def computed(classifier: nn.Module, precision: str = "float32", compiled: bool = False) -> nn.Module:
    """Returns `classifier`, computed in `precision`, one of `PRECISIONS`; images and logits stay float32."""
    found = BFloat16(classifier) if precision == "bfloat16" else classifier
    return Compiled(found) if compiled else found


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


class Compiled(nn.Module):
    """`classifier` compiled by torch.compile: the same function, rounded in another order.

    A graph serves any number of images, because the last chunk is smaller than the others, and some attacks
    go on with the images that resist. Calls with and without a gradient have a graph each; on a CPU so have
    fewer than 16 images. One or two images are not compiled: one would take a graph of its own.
    """

    def __init__(self, classifier: nn.Module, backend: str = "inductor") -> None:
        super().__init__()
        self.classifier, self.training = classifier, classifier.training
        self._compiled = torch.compile(classifier.forward, backend=backend)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) <= FEW:
            return self.classifier(images)
        torch._dynamo.maybe_mark_dynamic(images, 0)
        return self._compiled(images)


@cache
def check_compiles(device: torch.device) -> None:
    """Compiles a trifle for `device`; raises `ConfigError` if that fails, as without a C++ compiler."""
    try:
        torch.compile(lambda images: (images + 1).sin())(torch.zeros(8, device=device))
    except Exception as error:  # whatever torch raises without a compiler, Triton or Python's headers
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ConfigError(f"compile=true fails here: {reason}; set compile=false") from error
