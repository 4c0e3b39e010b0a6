"""What a defense is, and how it goes in front of a classifier."""

import inspect
from collections.abc import Sequence

from torch import Tensor, nn

from vqexp.defenses.randomness import Draw


class Defense(nn.Module):
    """A module placed before or inside a classifier.

    A preprocessor maps images (N, C, H, W) in [0, 1] to images of the same shape. Subclasses implement
    `forward(images, draw=None)`; called without a draw, a random one takes the next of its own calls.
    """

    VERSION = 1  # raised whenever results change
    random: bool = False  # fresh draws give different results
    inside: bool = False  # part of the classifier, and of its training
    differentiable: bool = True  # autograd gives a gradient, if only of zero

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ConfigError` if this defense cannot take images of `shape` (C, H, W)."""

    def wrap(self, classifier: nn.Module) -> nn.Module:
        """The defended classifier: images (N, C, H, W) in [0, 1] -> logits (N, classes)."""
        return Defended(self, classifier)


class Defended(nn.Module):
    """classifier(defense(images)): a plain module, so any library can attack it as it is."""

    def __init__(self, defense: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.defense = defense
        self.classifier = classifier

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Logits (N, classes). `draw` goes to a `Defense`; any other module draws as it likes."""
        if draw is not None and isinstance(self.defense, Defense):
            return self.classifier(self.defense(images, draw))
        return self.classifier(self.defense(images))


class NoDefense(Defense):
    """The identity."""

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """`images` themselves."""
        return images


def call(model: nn.Module, images: Tensor, draw: Draw) -> Tensor:
    """model(images) on the given draw, if the model is one that knows draws."""
    knows_draws = "draw" in inspect.signature(model.forward).parameters
    return model(images, draw=draw) if knows_draws else model(images)


def defend(classifier: nn.Module, defense: nn.Module) -> nn.Module:
    """Put `defense` in front of `classifier`: by its own `wrap`, or as a plain module on images."""
    wrap = getattr(defense, "wrap", None)
    return wrap(classifier) if callable(wrap) else Defended(defense, classifier)
