"""BatchNorm by the statistics of the batch at hand, as in training mode, without moving the running ones."""

import copy

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vqexp.core.errors import require

STATISTICS = ("running", "batch")


class BatchStatistics(nn.Module):
    """A copy of `network` whose BatchNorm layers normalize by each batch's own mean and variance.

    Everything else is as in evaluation mode: no dropout, and nothing is updated. An image's logits depend on
    the others of its batch, so the batch must come whole. Raises `ConfigError` if there is no BatchNorm.
    """

    by_batch = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.training = copy.deepcopy(network), network.training
        layers = [module for module in self.network.modules() if isinstance(module, _BatchNorm)]
        require(
            layers,
            "statistics=batch needs a classifier with BatchNorm, and this one has none; it must be running",
        )
        for layer in layers:  # without running statistics, torch takes the batch's in evaluation mode too
            layer.running_mean = layer.running_var = None

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        logits: Tensor = self.network(images)
        return logits


def with_statistics(network: nn.Module, statistics: str) -> nn.Module:
    """`network` normalizing by its `running` statistics, that is, as it is, or by those of each `batch`."""
    return BatchStatistics(network) if statistics == "batch" else network
