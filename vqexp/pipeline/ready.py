"""Whether a classifier that is not ours comes with weights: measured, not believed."""

import hashlib
from typing import Any

from torch import nn

from vqexp.core.components import Component
from vqexp.core.errors import require
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.keys import key_of
from vqexp.core.notes import note

_found: dict[tuple[Any, str], str | None] = {}  # what was measured in this process


def own_weights(part: Component) -> str | None:
    """A hash of the weights that the network of `part` comes with, None if it must be trained.

    It is built with two seeds. Weights are ready-made if all are the same both times; where only some are, as
    with a new last layer on a trained network, it is to be trained from there. Numbers that are all the same
    within each tensor are an initialization. Raises `ConfigError` for what cannot be built or is no module.
    """
    key = part.factory, key_of(part.settings)
    if key not in _found:
        first, second = (_weights(part, seed) for seed in (0, 1))
        _found[key] = first if first == second else None
    if _found[key] is not None:
        note(
            f"classifier._target_={part.settings['_target_']} comes with weights, which no seed changes: it "
            "is not trained (training.start=FILE trains it from a checkpoint)"
        )
    return _found[key]


def _weights(part: Component, seed: int) -> str | None:
    """A hash of all parameters and buffers of the network built with `seed`; None if none is trained."""
    target = part.settings["_target_"]
    with generators_kept():
        seed_generators(seed)
        network = part.make()
    require(isinstance(network, nn.Module), f"classifier._target_={target} is no torch.nn.Module")
    parameters = list(network.parameters())
    if parameters and all(each.unique().numel() < 2 for each in parameters):
        return None
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode() + value.cpu().float().numpy().tobytes())
    return digest.hexdigest()
