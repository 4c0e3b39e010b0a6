"""What the trained spread of random weights has come to: Ma et al. 2023 (CTRW), Figure 3a."""

import torch
from torch import Tensor

from vqexp.core.errors import SenselessError
from vqexp.core.estimate import exact
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.metric import Measurement, Metric
from vqexp.pipeline.stages import Stages

QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # percent


class Sigma(Metric):
    """All entries of `sigma` in f's random layers: their sum, and quantiles."""

    LAYERS = True

    def check(self, experiment: Experiment) -> None:
        """Refuse a defense that adds no layers to f."""
        if not experiment.defense.installs:
            raise SenselessError("metric=sigma looks at random weights inside f; choose defense=ctrw")

    def measure(self, stages: Stages) -> Measurement:
        """`sigma_sum`, and `sigma_quantile_Q`, which Q percent of the entries do not exceed.

        Raises `SenselessError` if no layer has a `sigma`.
        """
        found = [getattr(module, "sigma", None) for module in stages.classifier.modules()]
        entries = [sigma.detach().flatten().double().cpu() for sigma in found if isinstance(sigma, Tensor)]
        if not entries:
            raise SenselessError("metric=sigma: no layer of f has a sigma")
        sigma = torch.cat(entries)
        values = torch.quantile(sigma, torch.tensor(QUANTILES, dtype=torch.float64) / 100)
        estimates = {
            f"sigma_quantile_{q}": value for q, value in zip(QUANTILES, values.tolist(), strict=True)
        }
        estimates["sigma_sum"] = sigma.sum().item()
        return Measurement({name: exact(value, name.replace("_", " ")) for name, value in estimates.items()})
