"""Training on quantized images: t-pRD and t-swRD (arXiv version, sections 3.5 and 4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from vqexp.classifiers import load_checkpoint
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, SenselessError, require
from vqexp.core.random_module import call
from vqexp.defenses import Defense, NoDefense
from vqexp.training.standard import Standard


@dataclass(kw_only=True)
class Quantized(Standard):
    """Cross-entropy of f(q(x)), q being the defense: any preprocessor, quantizer or not.

    start: None trains from the classifier's own initial parameters; the path of a checkpoint fine-tunes it.
    defense: q, in evaluation mode and on the device; `behind` sets it. The other settings are those of
    `Standard`.

    Images are augmented first and quantized then, since what f gets in the end is q(x), not a shifted or
    flipped q(x). Each epoch takes fresh draws: purpose `train`, the epoch as number, the images' own ids. So
    what f sees of an image does not depend on batch size, order or resuming. (The paper does not say whether
    it quantizes the training set once or every epoch.) A module that knows no draws takes its randomness from
    torch's global generators, which `fit` seeds by (seed, epoch).

    Nothing is cached: with augmentation and fresh draws no quantized image occurs twice. On one CPU core pRD
    adds 0.06 ms an image on digits to the 0.3 ms of a step, and 1 ms on CIFAR-10 to ResNet18's 45 ms; swRD
    adds 0.1 and 10 ms.
    """

    uses_defense: ClassVar[bool] = True

    start: str | None = None
    defense: nn.Module | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        valid = self.start is None or (isinstance(self.start, str) and self.start != "")
        require(valid, f"training.start is {self.start!r}; it must be null or the path of a checkpoint")
        defense = self.defense
        valid = defense is None or isinstance(defense, nn.Module)
        require(valid, f"training.defense is {defense!r}; choose it with defense=NAME")
        if isinstance(defense, NoDefense):
            raise SenselessError(
                "training=quantized trains f on what the defense makes of images, and there is no defense; "
                "choose training=standard"
            )
        if isinstance(defense, Defense) and not defense.preprocesses:
            raise SenselessError(
                "training=quantized trains f on what a preprocessor makes of images, but this defense is "
                "inside f; choose training=standard"
            )

    def behind(self, defense: nn.Module) -> Self:
        """The same training with f behind `defense`; raises `SenselessError` if that quantizes nothing."""
        return replace(self, defense=defense)

    @property
    def files(self) -> Mapping[str, Path]:
        """The checkpoint that f starts from, if any."""
        return {} if self.start is None else {"start": Path(self.start)}

    def initialize(self, classifier: nn.Module) -> None:
        """Load `start`. Raises `ConfigError` if it is absent, broken, or of another classifier."""
        if self.start is not None:
            load_checkpoint(classifier, self.start)

    def loss(
        self, classifier: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """The loss and the logits (N, num_classes) on the quantized images."""
        return super().loss(classifier, self.quantize(images, ids, epoch), labels, ids, epoch)

    def quantize(self, images: Tensor, ids: Tensor, epoch: int) -> Tensor:
        """What the defense makes of `images` (N, C, H, W) in this epoch: same shape, no gradient."""
        if self.defense is None:
            raise ConfigError("training=quantized needs a defense: Quantized(defense=...) or behind(defense)")
        # float16 would be too coarse for distances between patches
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return call(self.defense, images, Draw("train", epoch, ids))
