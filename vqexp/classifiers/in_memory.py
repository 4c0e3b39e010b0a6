"""A classifier that is in memory already, as an object."""

import copy

import torch
from torch import Tensor, nn

from vqexp.core.held import held


def in_memory(key: str, weights: str = "own") -> nn.Module:
    """A copy of the module kept by `vqexp.core.held` under `key`, with the weights it has: never trained."""
    found: nn.Module = copy.deepcopy(held(key))
    return found


class LogProbabilities(nn.Module):
    """The logarithm of what `network` returns, for one that ends in a softmax: its logits, up to a constant.

    A loss on the probabilities themselves would take the softmax twice, and its gradient nearly vanishes
    where the network is sure of its answer. Where a probability is 0 in float32 there is no gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.training = network, network.training

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        probabilities = self.network(images)
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
