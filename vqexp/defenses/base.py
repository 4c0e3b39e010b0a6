"""What a defense is, and how it goes in front of a classifier."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.inputs import check_images, check_kept_shape
from vqexp.core.random_module import RandomModule, bound, name_of


class Defense(RandomModule):
    """A preprocessor placed before a classifier f, or layers installed inside it.

    A preprocessor maps images (N, C, H, W) in [0, 1] to images of the same shape: it implements
    `forward(images, draw=None)`. A defense inside f implements `install`, and is trained, loaded and attacked
    as a part of f. Anything else implements `wrap`.
    """

    VERSION = 1  # raised whenever results change
    differentiable: bool = True  # autograd gives a gradient, if only of zero
    strength: str | None = None  # the setting, and attribute, that says how strong it is

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def installs(self) -> bool:
        """It adds layers to f."""
        return type(self).install is not Defense.install

    @property
    def preprocesses(self) -> bool:
        """It acts on images before f, and on nothing else."""
        return not self.installs and type(self).wrap is Defense.wrap

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ConfigError` if this defense cannot take images of `shape` (C, H, W)."""

    def computed_by(self, shape: Sequence[int], device: torch.device) -> str | None:
        """What computes it for images of `shape` (C, H, W) on `device`, and its version.

        None where there is no choice. Raises `ConfigError` if what is set cannot run there.
        """
        return None

    def install(self, classifier: nn.Module) -> nn.Module:
        """f with the defense's layers, before training and loading; by default f as it is."""
        return classifier

    def wrap(self, classifier: nn.Module) -> nn.Module:
        """The defended classifier, after training and loading: images (N, C, H, W) -> logits (N, classes)."""
        return classifier if self.installs else Defended(self, classifier)


class Defended(nn.Module):
    """classifier(defense(images)): a plain module, so any library can attack it as it is.

    It is in the classifier's mode, training or evaluation.
    """

    def __init__(self, defense: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.defense = defense
        self.classifier = classifier
        self.training = classifier.training

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Logits (N, classes). `draw` reaches every random module of the library, wherever it is.

        Raises `ConfigError` for what are no images in [0, 1], `WorkError` if the defense changes their shape.
        """
        check_images(images)
        if draw is not None:
            with bound(self, draw.resolve(len(images))):
                return self(images)
        defended = self.defense(images)
        check_kept_shape(name_of(self.defense), images, defended)
        return self.classifier(defended)


class NoDefense(Defense):
    """The identity."""

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """`images` themselves."""
        return images


def defend(classifier: nn.Module, defense: nn.Module) -> nn.Module:
    """Returns the defended classifier; `defense` may be any module on images.

    A defense that installs layers adds them to `classifier` itself. The classifier stays in its mode, and one
    in training mode is warned of.
    """
    if classifier.training:
        warnings.warn(
            "the classifier is in training mode: BatchNorm then judges an image by its neighbours; "
            "call .eval() on it first",
            stacklevel=2,
        )
    if isinstance(defense, Defense):
        return defense.wrap(defense.install(classifier))
    wrap = getattr(defense, "wrap", None)
    return wrap(classifier) if callable(wrap) else Defended(defense, classifier)
