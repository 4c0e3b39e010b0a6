"""A classifier of your own: whatever returns a module from images in [0, 1] to logits. In this folder:

vqexp classifier._target_=own_classifier.net classifier.hidden=64 training.epochs=10 attack=fgsm
"""

from torch import nn


def net(shape: tuple[int, int, int], num_classes: int, hidden: int = 32) -> nn.Module:
    """An untrained network, which is trained; one that comes with its weights is taken as it is."""
    channels, height, width = shape
    inputs = channels * height * width
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))
