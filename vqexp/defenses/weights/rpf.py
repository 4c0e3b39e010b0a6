"""Random projection filters: Dong, Xu, "Adversarial Robustness via Random Projection Filters" (CVPR 2023)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqexp.classifiers import layer_at
from vqexp.core.draws import Streams
from vqexp.core.errors import check_number, require
from vqexp.defenses.weights.installed import Installed, replace_module
from vqexp.defenses.weights.layer import RandomLayer


class ProjectionFilters(RandomLayer):
    """`convolution` with its last `count` filters drawn anew: independent N(0, 1 / r^2), r being their size.

    The other filters are trained, and used as the released code does: each is divided by the standard
    deviation of its entries and by r, so that both kinds are of one scale. The random ones' mean is zero.
    """

    def __init__(self, convolution: nn.Conv2d, count: int, seed: int = 0) -> None:
        super().__init__(seed)
        self.convolution, self.count = convolution, count
        convolution.weight = nn.Parameter(convolution.weight[:-count].detach().clone())

    def weights(self, streams: Streams) -> Tensor:
        trained = self.convolution.weight
        return streams.normal((self.count, *trained.shape[1:]), trained.dtype)

    def sampled(self, x: Tensor, streams: Streams | None) -> Tensor:
        inner, trained = self.convolution, self.convolution.weight
        deviation = trained.std((1, 2, 3), keepdim=True) + 1e-5
        mean = trained.new_zeros(self.count, *trained.shape[1:])
        random = mean if streams is None else self.weights(streams)[0]
        filters = torch.cat([trained / deviation, random]) / inner.kernel_size[0]
        return inner._conv_forward(x, filters, inner.bias)


class RPF(Installed):
    """Random filters in f's first convolution.

    share: of its filters, in (0, 1); 3/4 is that of the released commands (48 of 64).
    Raises `ConfigError` if f has no convolution, or if no filter is random, or all are.
    """

    strength = "share"

    def __init__(self, *, shape: Sequence[int], share: float = 0.75, seed: int = 0) -> None:
        super().__init__(shape=shape, seed=seed)
        check_number("defense.share", share, above=0, below=1)
        self.share = share

    def install(self, classifier: nn.Module) -> nn.Module:
        """Replaces the first convolution."""
        name = layer_at(classifier, 0)
        convolution = classifier.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        count, whole = round(self.share * convolution.out_channels), convolution.out_channels
        require(0 < count < whole, f"defense.share={self.share:g} makes {count} of {whole} filters random")
        replace_module(classifier, name, ProjectionFilters(convolution, count, self.seed))
        return classifier
