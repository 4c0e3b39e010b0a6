"""Random modules, and how the draw of a call reaches all of them, wherever they are in a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.errors import require

PLACES = 2**16  # at most so many random modules under one of them


class RandomModule(nn.Module):
    """A module whose output may depend on a draw; a random one implements `forward(images, draw=None)`.

    The draw is the one that the call was given, or the one that `call` has bound for the whole model, so
    that no `Sequential`, normalization or compiled wrapper in between can lose it. Without either,
    `draw_for` takes the next of the module's own calls.

    random: fresh draws give different results. per_image: each image has a draw of its own; False: all
    images that share a draw's number share the draw. has_mean: it can be called at the mean of its
    randomness (`Draw.mean`).
    """

    random: bool = False
    per_image: bool = True
    has_mean: bool = False
    bound: Draw | None = None
    calls: int = 0

    def __call__(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """`forward` on the draw given or bound."""
        draw = draw or self.bound
        return super().__call__(images) if draw is None else super().__call__(images, draw=draw)

    def draw_for(self, n: int, draw: Draw | None) -> Draw:
        """The draw for a batch of n images, with ids. Raises `ConfigError` if it is for another number."""
        if draw is None:
            draw = Draw("call", self.calls)
            self.calls += 1
        draw = draw.resolve(n)
        assert draw.ids is not None
        require(
            len(draw.ids) == n,
            f"{type(self).__name__} got {n} images under a draw for {len(draw.ids)}; "
            "a random module takes the batch as it came",
        )
        return draw if self.per_image else replace(draw, ids=torch.zeros_like(draw.ids))

    @property
    def shared(self) -> bool:
        """Whether a draw may serve several images."""
        return not self.per_image

    def constrain(self) -> None:
        """Brings what was trained of it back into its range; the training calls this after each step."""


def name_of(module: nn.Module) -> str:
    """What messages call a defense: its own `name`, or its class's."""
    return str(getattr(module, "name", type(module).__name__))


def random_modules(model: nn.Module) -> Iterator[RandomModule]:
    """The random modules of `model`, in order; not those below such a one, which hands its draw on itself."""
    waiting, seen = [model], set()
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module, RandomModule) and module.random:
            yield module
        else:
            waiting += reversed(list(module.children()))


def is_random(model: nn.Module) -> bool:
    """Whether fresh draws of `model` differ."""
    return next(random_modules(model), None) is not None


def shares_draws(model: nn.Module) -> bool:
    """Whether one draw of `model` may change what it makes of all images at once."""
    return any(module.shared for module in random_modules(model))


@contextmanager
def bound(model: nn.Module, draw: Draw) -> Iterator[None]:
    """Every random module of `model` reads this draw, each its own numbers of it."""
    before = [(module, module.bound) for module in random_modules(model)]
    try:
        for number, (module, _) in enumerate(before):
            module.bound = replace(draw, place=draw.place * PLACES + number)
        yield
    finally:
        for module, old in before:
            module.bound = old


def call(model: nn.Module, images: Tensor, draw: Draw) -> Tensor:
    """model(images) on the given draw, wherever in the model it is read."""
    with bound(model, draw.resolve(len(images))):
        return model(images)
