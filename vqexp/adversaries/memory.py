"""How much memory a gradient takes."""

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.random_module import call


def kept_for_backward(model: nn.Module, image: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass of one image (1, C, H, W): what a second one adds.

    Parameters, which images share, are so not counted, nor are copies of them in another precision.
    """

    def kept(count: int) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        draw = Draw("attack", torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64))
        images = image.repeat(count, 1, 1, 1).requires_grad_(True)
        alive = []  # until the end, lest two of them have one address
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            alive.append(call(model, images, draw))
        return sum(sizes.values())

    return kept(2) - kept(1)
