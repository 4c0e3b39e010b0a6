"""Where in a network a random layer can stand."""

import re

from torch import nn

from vqexp.core.errors import require

FIRST, LAST = 0, 5
STAGE = re.compile(r"(?:layer|block)([1-4])")  # in torchvision's ResNets, in wide ones and in RobustBench's


def positions(network: nn.Module) -> dict[int, str]:
    """The position -> the name of the module there, numbered as by Ma et al. 2023 (section 4.3, Figure 3d).

    0: the first convolution; 1 to 4: the residual stages, of which a network may have fewer or none; 5: the
    last linear layer.
    """
    found: dict[int, str] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            found.setdefault(FIRST, name)
        elif isinstance(module, nn.Linear):
            found[LAST] = name
        elif stage := STAGE.fullmatch(name):
            found[int(stage[1])] = name
    return dict(sorted(found.items()))


def layer_at(network: nn.Module, position: int) -> str:
    """The name of the module at a position. Raises `ConfigError` if there is none."""
    found = positions(network)
    told = ", ".join(f"{number} ({name})" for number, name in found.items())
    require(
        position in found, f"defense.position is {position}; this classifier has {told or 'no positions'}"
    )
    return found[position]
