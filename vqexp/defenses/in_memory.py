"""Defenses that are in memory already: a module before the classifier, or the classifier's own randomness."""

import copy
from typing import Any

from torch import nn

from vqexp.core.components import is_ours, parameters
from vqexp.core.held import held
from vqexp.defenses.foreign import ForeignModel, is_known


def in_memory(key: str, name: str, **settings: Any) -> nn.Module:
    """A copy of the module kept by `vqexp.core.held` under `key`. name: what it is called.

    settings: attributes that it is to have, such as its strength. Raises `ConfigError` for values that a
    defense of the library refuses.
    """
    module: nn.Module = held(key)
    changed = {name: value for name, value in settings.items() if getattr(module, name) != value}
    kind = type(module)
    if changed and is_ours(f"{kind.__module__}."):
        arguments = {name: getattr(module, name) for name in parameters(kind) or ()} | changed
        return kind(**arguments)
    found = copy.deepcopy(module)
    for name, value in changed.items():
        setattr(found, name, value)
    return found


class RandomByItself(nn.Module):
    """What is random in a classifier, as a defense inside it.

    So attacks average over its draws and each evaluation has draws of its own. Random modules of the library
    draw image by image; what the classifier takes from the global generators of torch, numpy and Python is
    seeded by the draws of the batch, and so depends on which images share one.

    differentiable: the classifier has a gradient. name: what it is called.
    """

    random = True

    def __init__(self, *, differentiable: bool, name: str) -> None:
        super().__init__()
        self.differentiable, self.name = differentiable, name

    def install(self, classifier: nn.Module) -> nn.Module:
        """The classifier, on draws."""
        known = all(is_known(part) for part in classifier.modules())
        return classifier if known else ForeignModel(classifier, True)
