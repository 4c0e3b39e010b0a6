"""Three ways to judge a random defense from several draws on the same images.

`mean`: one draw, on average over draws. `vote`: the label that most of v draws give. `all`: right in each
of m draws, what an attacker gets who may try m times. Draws are taken in disjoint groups, one a result.
"""

import torch
from torch import Tensor


def vote(predicted: Tensor, labels: Tensor, draws: int) -> Tensor:
    """Right by majority vote: predicted (runs, n), labels (n,) -> bool (runs // draws, n).

    A tie that the label shares counts as wrong.
    """
    groups = _groups(predicted, draws)
    own = (groups == labels).sum(1)
    classes = int(max(predicted.max(), labels.max())) + 1 if predicted.numel() else 1
    rivals = torch.stack([(groups == c).sum(1) * (labels != c) for c in range(classes)]).amax(0)
    return own > rivals


def all_of(correct: Tensor, draws: int) -> Tensor:
    """Right in each of `draws` draws: bool (runs, n) -> bool (runs // draws, n)."""
    return _groups(correct, draws).all(1)


def _groups(outcomes: Tensor, draws: int) -> Tensor:
    """(runs, n) -> (runs // draws, draws, n); a fixed defense has a single run, which is all its draws."""
    draws = min(draws, len(outcomes))
    groups = len(outcomes) // draws
    return outcomes[: groups * draws].unflatten(0, (groups, draws))
