"""How random layers get into a network."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from vqexp.core.errors import check_number, require
from vqexp.core.modes import evaluating
from vqexp.defenses.base import Defense


class Installed(Defense):
    """A defense of random layers inside f.

    shape: of the images, (C, H, W). seed: in [0, 2^63). A subclass implements `install`.
    """

    random = has_mean = True
    per_image = False

    def __init__(self, *, shape: Sequence[int], seed: int = 0) -> None:
        super().__init__()
        check_number("defense.seed", seed, low=0, high=2**63 - 1, integer=True)
        self.shape, self.seed = tuple(shape), seed

    def check(self, shape: Sequence[int]) -> None:
        """Refuse images of another shape than that of its layers."""
        require(
            tuple(shape) == self.shape, f"defense.shape is {list(self.shape)}; the images are {list(shape)}"
        )

    def shapes(self, network: nn.Module, names: Iterable[str]) -> dict[str, tuple[torch.Size, torch.Size]]:
        """(input, output) shapes of one image at modules of `network`, by their names: (1, ...)."""
        found: dict[str, tuple[torch.Size, torch.Size]] = {}
        hooks = [
            network.get_submodule(name).register_forward_hook(
                lambda _, inputs, output, name=name: found.__setitem__(name, (inputs[0].shape, output.shape))
            )
            for name in names
        ]
        device = next((parameter.device for parameter in network.parameters()), None)
        with evaluating(network), torch.no_grad():
            network(torch.zeros(1, *self.shape, device=device))
        for hook in hooks:
            hook.remove()
        return found


def replace_module(network: nn.Module, name: str, new: nn.Module) -> None:
    """Puts `new` in the place of a module, on its device and in its mode."""
    old = network.get_submodule(name)
    device = next((parameter.device for parameter in old.parameters()), None)
    network.set_submodule(name, new.to(device).train(old.training))
