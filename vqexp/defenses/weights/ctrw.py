"""Constrained trainable random weights: Ma, Dong, Xu, "Adversarial Robustness through Random Weight Sampling"
(NeurIPS 2023)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqexp.classifiers import layer_at
from vqexp.core.draws import Streams
from vqexp.core.errors import check_number, one_of, require
from vqexp.defenses.weights.constraint import FIXED, Constraint
from vqexp.defenses.weights.installed import Installed, replace_module
from vqexp.defenses.weights.layer import RandomLayer

WHERE = ("in_channels", "out_channels", "both", "filters")
STDS = ("trained", *FIXED, "zero")


class RandomWeight(RandomLayer):
    """x * W with W = mu + delta * sigma, delta standard normal, all products entry by entry (eq. 4).

    shape: of W. mu is trained and starts at 1. std: sigma is `trained` as well, starting at 1, and brought
    back under the constraint after every step; or each of its entries has the same value, such that their
    sum is at the `lower` bound, the `upper` or in the `middle`, or `zero`.
    """

    mu: Tensor
    sigma: Tensor

    def __init__(
        self, shape: Sequence[int], constraint: Constraint, std: str = "trained", seed: int = 0
    ) -> None:
        super().__init__(seed)
        self.constraint, self.random = constraint, std != "zero"
        self.mu = nn.Parameter(torch.ones(*shape))
        if std == "trained":
            self.sigma = nn.Parameter(torch.ones(*shape))
        else:
            total = constraint.total(std) if std in FIXED else 0.0
            self.register_buffer("sigma", torch.full(tuple(shape), total / self.mu.numel()))

    def weights(self, streams: Streams) -> Tensor:
        return self.mu + streams.normal(self.mu.shape, self.mu.dtype) * self.sigma

    def sampled(self, x: Tensor, streams: Streams | None) -> Tensor:
        return self.multiplied(x, self.mu if streams is None else self.weights(streams)[0])

    def multiplied(self, x: Tensor, W: Tensor) -> Tensor:
        """The layer on x with the weights W."""
        return x * W

    def constrain(self) -> None:
        """Brings a trained sigma back into the bounds."""
        if isinstance(self.sigma, nn.Parameter):
            with torch.no_grad():
                self.sigma.copy_(self.constraint(self.sigma))


class RandomFilters(RandomWeight):
    """`convolution` with the product of its filters and W, which has their shape, in their place."""

    def __init__(
        self, convolution: nn.Conv2d, constraint: Constraint, std: str = "trained", seed: int = 0
    ) -> None:
        super().__init__(convolution.weight.shape, constraint, std, seed)
        self.convolution = convolution

    def multiplied(self, x: Tensor, W: Tensor) -> Tensor:
        inner = self.convolution
        return inner._conv_forward(x, inner.weight * W, inner.bias)


class CTRW(Installed):
    """Random weights at one place of f, trained with it: by gradient descent, as every other parameter is.

    position: 0 stands at the first convolution, 1 to 4 at a residual stage, 5 at the last linear layer
    (`vqexp.classifiers.positions`). where (Table 4): the weights multiply what goes into the layer there
    (`in_channels`), what comes out of it, or `both`; or, at position 0, the convolution's `filters`.
    std, constraint, lower, upper: `RandomWeight` and `Constraint`; the bounds hold for each set of weights by
    itself, whatever its size. In the released code mu and sigma start at 1, and an inference's draw is shared
    by the batch, as here. Without bounds (lower and upper null) this is the paper's "without constrain"; its
    baseline is an f without the layer.
    Raises `ConfigError` for values out of range, and where f has no such position.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        position: int = 0,
        where: str = "in_channels",
        std: str = "trained",
        constraint: str = "sum",
        lower: float | None = 1000,
        upper: float | None = 2400,
        seed: int = 0,
    ) -> None:
        super().__init__(shape=shape, seed=seed)
        check_number("defense.position", position, low=0, high=5, integer=True)
        one_of("defense.where", where, WHERE)
        one_of("defense.std", std, STDS)
        require(
            where != "filters" or position == 0,
            f"defense.where=filters takes a convolution, which stands at defense.position=0, not {position}",
        )
        self.position, self.where, self.std = position, where, std
        self.constraint = Constraint(constraint, lower, upper)
        if std in FIXED:
            self.constraint.total(std)
        self.random = std != "zero"

    def install(self, classifier: nn.Module) -> nn.Module:
        """Replaces the module at the position by one with the weights around it, or in it."""
        name = layer_at(classifier, self.position)
        module = classifier.get_submodule(name)
        if self.where == "filters":
            assert isinstance(module, nn.Conv2d)
            replace_module(classifier, name, RandomFilters(module, self.constraint, self.std, self.seed))
            return classifier
        before, after = self.shapes(classifier, [name])[name]
        parts = [module]
        if self.where != "out_channels":
            parts.insert(0, RandomWeight(before, self.constraint, self.std, self.seed))
        if self.where != "in_channels":
            parts.append(RandomWeight(after, self.constraint, self.std, self.seed))
        replace_module(classifier, name, nn.Sequential(*parts))
        return classifier
