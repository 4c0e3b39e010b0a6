"""Linear readouts of a classifier's penultimate features: what its last linear layer gets."""

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.random_module import call

RIDGE = 1e-3  # of the mean squared length of the features: keeps the readout from fitting rounding
SAME = 1e-4  # of the largest score: a difference that is rounding


class Features(nn.Module):
    """Images (N, C, H, W) -> features (N, D): the input of `layer`, a linear layer of `classifier`."""

    def __init__(self, classifier: nn.Module, layer: nn.Linear) -> None:
        super().__init__()
        self.classifier, self.layer, self.training = classifier, layer, classifier.training

    def forward(self, images: Tensor) -> Tensor:
        caught: list[Tensor] = []
        hook = self.layer.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        try:
            self.classifier(images)
        finally:
            hook.remove()
        return caught[-1].flatten(1)


class Readout(Features):
    """Images (N, C, H, W) -> logits (N, 2) of `features @ weight + bias`: below 0 is class 0, above it 1."""

    weight: Tensor
    bias: Tensor

    def __init__(self, classifier: nn.Module, layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
        super().__init__(classifier, layer)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        score = features @ self.weight.to(features) + self.bias.to(features)
        return torch.stack([-score, score], 1)


@torch.no_grad()
def last_linear(classifier: nn.Module, image: Tensor) -> nn.Linear | None:
    """The linear layer whose outputs are the classifier's on `image` (1, C, H, W), up to a constant that all
    classes share, as after a softmax and its logarithm; None if there is none.
    """
    seen: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, found: seen.append((layer, found)))
        for layer in classifier.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        logits = call(classifier, image, Draw())
    finally:
        for hook in hooks:
            hook.remove()
    for layer, found in reversed(seen):
        if found.shape == logits.shape:
            gap = logits - found
            if (gap - gap.mean(1, keepdim=True)).abs().max() <= SAME * logits.abs().max().clamp(min=1):
                return layer
    return None


def separating(inside: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(weight (D,), bias ()) of the readout that is 0 on features `inside` (m, D), 1 on `known` (1, D), by
    ridge regression, less a threshold in the middle between `known` and the highest of the others.
    """
    center = inside.mean(0)
    points = torch.cat([inside, known]) - center
    targets = torch.zeros(len(points), dtype=points.dtype, device=points.device)
    targets[-1] = 1
    products = points @ points.T  # of all pairs: there are fewer points than features
    ridge = RIDGE * products.diagonal().mean().clamp(min=1e-12)
    weight = points.T @ torch.linalg.solve(products + ridge * torch.eye(len(points)).to(products), targets)
    scores = points @ weight
    scale = (scores[-1] - scores[:-1].max()).abs().clamp(min=1e-12) / 2  # so that `known` scores 1
    threshold = (scores[-1] + scores[:-1].max()) / 2
    return weight / scale, -(center @ weight + threshold) / scale
