"""Networks to train in tests."""

import torch
from torch import nn

from vqexp.classifiers import small_cnn


def network(width: int = 4, dropout: float = 0.5) -> nn.Module:
    """A small network for digits, with its own randomness in training, and batch normalization."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(dropout), small_cnn((1, 8, 8), 10, width=width))
