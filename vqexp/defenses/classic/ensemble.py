"""Ensembles over versions of an image: f sees each, and the predictions are put together."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.errors import one_of
from vqexp.core.inputs import check_images
from vqexp.core.random_module import RandomModule
from vqexp.defenses.base import Defense

VOTES = ("probabilities", "labels")


class Ensemble(Defense):
    """Puts f's predictions on several versions of an image together; a subclass makes the `versions`.

    vote: `probabilities` (the log of their mean) or `labels` (the share of the versions that each class gets,
    with a gradient of zero).
    """

    def __init__(self, *, vote: str = "probabilities") -> None:
        super().__init__()
        one_of("defense.vote", vote, VOTES)
        self.vote = vote

    @abstractmethod
    def versions(self, images: Tensor, draw: Draw) -> Sequence[Tensor]:
        """Versions of the images, each (N, C, H, W) in [0, 1]."""

    def wrap(self, classifier: nn.Module) -> nn.Module:
        """The ensemble: images (N, C, H, W) in [0, 1] -> (N, classes)."""
        return Voting(self, classifier)


class Voting(RandomModule):
    """classifier on each version of an image, put together as the ensemble says."""

    def __init__(self, ensemble: Ensemble, classifier: nn.Module) -> None:
        super().__init__()
        self.ensemble, self.classifier, self.training = ensemble, classifier, classifier.training
        self.random, self.has_mean = ensemble.random, ensemble.has_mean

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, classes)."""
        check_images(images)
        versions = self.ensemble.versions(images, self.draw_for(len(images), draw))
        logits = self.classifier(torch.cat(list(versions))).unflatten(0, (len(versions), len(images)))
        if self.ensemble.vote == "labels":
            votes = F.one_hot(logits.argmax(2), logits.shape[2]).to(logits.dtype)
            return votes.mean(0) + 0 * logits.mean(0)
        return logits.log_softmax(2).logsumexp(0) - torch.tensor(len(versions)).log()
