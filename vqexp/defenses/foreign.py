"""Modules that are not ours: a draw decides what they take from the global generators, too."""

import inspect

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.errors import require
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.keys import seed_of
from vqexp.core.random_module import RandomModule, bound, is_random, name_of
from vqexp.defenses.base import Defense

# whose modules draw nothing in evaluation mode but through a `RandomModule`
KNOWN = ("vqexp.", "torch.nn.", "torch._dynamo.", "torchvision.models.", "torchvision.ops.")


class Foreign(Defense):
    """`module` as a defense.

    One of which every part is the library's or torch's own is called once a batch, each of our random modules
    in it on the draw. Any other may draw from the global generators of torch, numpy and Python, and does so
    image by image, each seeded by the draw: so its results do not depend on the batch either. What it
    declares as `random` and `differentiable` holds; a part of unknown origin is taken to be random.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.known = all(is_known(part) for part in module.modules())
        self.random = getattr(module, "random", is_random(module) or not self.known)
        self.differentiable = getattr(module, "differentiable", True)
        self.strength = getattr(module, "strength", None)
        self.one_image = not self.known and self.random

    @property
    def name(self) -> str:
        """The module's own."""
        return name_of(self.module)

    @property
    def installs(self) -> bool:
        """The module has an `install` of its own."""
        return callable(getattr(self.module, "install", None))

    @property
    def preprocesses(self) -> bool:
        """The module has neither `install` nor `wrap`."""
        return not self.installs and not callable(getattr(self.module, "wrap", None))

    def install(self, classifier: nn.Module) -> nn.Module:
        """By the module's own `install`, if it has one."""
        return self.module.install(classifier) if self.installs else classifier  # type: ignore[operator]

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> the module's images."""
        draw = self.draw_for(len(images), draw)
        if not self.one_image:
            with bound(self.module, draw):
                return self.module(images)
        with generators_kept():
            return torch.cat([self._alone(images[i : i + 1], draw[i : i + 1]) for i in range(len(images))])

    def _alone(self, image: Tensor, draw: Draw) -> Tensor:
        seed_generators(seed_of(draw.purpose, draw.place, draw.keys()))
        with bound(self.module, draw):
            return self.module(image)

    def wrap(self, classifier: nn.Module) -> nn.Module:
        """By the module's own `wrap`, if it has one; else placed before `classifier`, or inside it."""
        if not callable(getattr(self.module, "wrap", None)):
            return super().wrap(classifier)
        return ForeignModel(self.module.wrap(classifier), self.random)  # type: ignore[operator]


class ForeignModel(RandomModule):
    """A whole classifier, images to logits, whose global generators are seeded by the draws of the batch.

    Image by image it would be too slow, so its results depend on which images share a batch.
    """

    shared = True  # for all that is known

    def __init__(self, model: nn.Module, random: bool) -> None:
        super().__init__()
        self.model, self.random = model, random

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> logits (N, classes)."""
        draw = self.draw_for(len(images), draw)
        with generators_kept(), bound(self.model, draw):
            seed_generators(seed_of(draw.purpose, draw.place, draw.keys()))
            return self.model(images)


def is_known(part: nn.Module) -> bool:
    """Whether a part is the library's or torch's own: it draws nothing but through a `RandomModule`."""
    draws = isinstance(part, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d)  # in evaluation mode too
    return f"{type(part).__module__}.".startswith(KNOWN) and not draws


def adapted(module: nn.Module) -> Defense:
    """`module` itself, or as a `Foreign` one. Raises `ConfigError` if a random defense takes no draw."""
    if not isinstance(module, Defense):
        return Foreign(module)
    takes = not module.preprocesses or "draw" in inspect.signature(module.forward).parameters
    require(takes or not module.random, f"{module.name} is random; its forward must take (images, draw=None)")
    return module
