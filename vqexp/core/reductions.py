"""What becomes of draws, block by block: outcomes, votes, means. None keeps more than its result.

Each takes the blocks that `Sampler.draws` yields, (some, N, ...) each.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor

from vqexp.core.margins import margin


def outcomes(blocks: Iterable[Tensor], labels: Tensor) -> dict[str, Tensor]:
    """From logits: predicted int16, correct bool and margin float32, all (draws, N)."""
    found: dict[str, list[Tensor]] = {"predicted": [], "correct": [], "margin": []}
    for logits in blocks:
        predicted = logits.argmax(2)
        found["predicted"].append(predicted.to(torch.int16))
        found["correct"].append(predicted == labels)
        found["margin"] += [margin(each, labels).unsqueeze(0) for each in logits]
    return {name: torch.cat(parts) for name, parts in found.items()}


def votes(blocks: Iterable[Tensor]) -> Tensor:
    """From logits: how many draws gave each label, (N, classes) int64."""
    counts: Tensor | None = None
    for logits in blocks:
        labels = logits.argmax(2).T
        if counts is None:
            counts = torch.zeros(labels.shape[0], logits.shape[2], dtype=torch.int64, device=logits.device)
        counts.scatter_add_(1, labels, torch.ones_like(labels))
    assert counts is not None
    return counts


def blocks(count: int) -> list[tuple[int, int]]:
    """Parts (first, stop) of range(count) that are kept apart: up to 100, to 1,000, then 1,000 at a time."""
    edges = [0, 100, *range(1000, count + 1000, 1000)]
    return [(first, min(stop, count)) for first, stop in pairwise(edges) if first < count]


def mean(blocks: Iterable[Tensor]) -> Tensor:
    """The mean over the draws, (N, ...) float64."""
    total, count = torch.zeros(()), 0
    for block in blocks:
        total = total + block.double().sum(0)
        count += len(block)
    return total / count
