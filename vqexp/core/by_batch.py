"""Models that judge an image by its neighbours: they must get a batch whole, and no other images with it."""

from typing import Any

from torch import nn


def by_batch(model: Any) -> bool:
    """Whether some part of `model` says by an attribute `by_batch` that it judges a batch as a whole."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return any(getattr(module, "by_batch", False) is True for module in modules)
