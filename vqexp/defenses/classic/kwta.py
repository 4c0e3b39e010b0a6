"""k-winners-take-all (Xiao, Zhong, Zheng 2020, "Enhancing Adversarial Defense by k-Winners-Take-All").

Its activation jumps wherever the set of winners changes, so single gradients mislead; Tramer et al. 2020
("On Adaptive Attacks to Adversarial Example Defenses", section 5) break it.
"""

import math

from torch import Tensor, nn

from vqexp.core.errors import check_number, require
from vqexp.defenses.base import Defense
from vqexp.defenses.weights.installed import replace_module


class KWinners(nn.Module):
    """Keeps the largest `share` of each image's activations, at least one, and sets the others to zero."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """(N, ...) -> the same shape."""
        flat = values.flatten(1)
        least = flat.topk(math.ceil(self.share * flat.shape[1])).values[:, -1:]
        return (flat * (flat >= least)).view_as(values)


class KWTA(Defense):
    """Every ReLU of f becomes k-winners-take-all over the whole map; f is trained with it.

    share: of the activations that win, in (0, 1); the paper's are 0.1 and 0.2. Raises `ConfigError` if f has
    no `nn.ReLU`.
    """

    strength = "share"

    def __init__(self, *, share: float) -> None:
        super().__init__()
        check_number("defense.share", share, above=0, below=1)
        self.share = share

    def install(self, classifier: nn.Module) -> nn.Module:
        """Replaces every ReLU."""
        names = relus(classifier, "kwta")
        for name in names:
            replace_module(classifier, name, KWinners(self.share))
        return classifier


def relus(classifier: nn.Module, defense: str) -> list[str]:
    """Returns the names of the classifier's ReLUs; raises `ConfigError` if there are none."""
    names = [name for name, module in classifier.named_modules() if isinstance(module, nn.ReLU)]
    require(names, f"defense={defense} acts on ReLUs, and this classifier has no nn.ReLU")
    return names
