"""Read and write a classifier's parameters, and refuse a file that does not fit in one clear line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from vqexp.classifiers.contents import read_weights
from vqexp.classifiers.matching import Match, match
from vqexp.classifiers.normalize import Normalized
from vqexp.classifiers.wording import adjustments, misfit, settings
from vqexp.core.atomic import write_atomically
from vqexp.core.errors import ConfigError, require
from vqexp.core.notes import note


def load_checkpoint(classifier: nn.Module, path: str | Path) -> None:
    """Copy the parameters and buffers in `path` into `classifier`, each cast to the dtype it has there.

    The file is `.safetensors`, or what `torch.save` wrote of a state dict, bare or in a container such as
    `state_dict` or `ema`; wrappers' prefixes such as `module.` are stripped where that makes all names fit,
    and counters of BatchNorm may be missing. What was stripped, taken, filled in or left out is said in one
    line on stderr, once a process. Of a `Normalized` classifier the file holds the network alone, or its
    very mean and std besides. Only tensors are read, never code.

    Raises `ConfigError`, and changes nothing, if the file is absent or broken, fits another network, holds
    several networks that fit, a normalization that the classifier does not have, or values not finite.
    """
    network = _network(classifier)
    expected = network.state_dict()
    matches = [match(expected, weights) for weights in read_weights(Path(path))]
    fit = _only_fit(str(path), matches, expected)
    _check_normalization(str(path), fit, classifier)
    for name, value in fit.state.items():
        require(value.isfinite().all(), f"{path}: {name} has values that are not finite")
    network.load_state_dict({**expected, **fit.state})
    if said := adjustments(fit):
        note(f"{path}: {said}")


def save_checkpoint(classifier: nn.Module, path: str | Path) -> None:
    """Write the parameters and buffers of `classifier` to `path`, as safetensors.

    The file is complete or absent. Raises `WorkError` if it cannot be written.
    """
    tensors = _network(classifier).state_dict()
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    write_atomically(Path(path), save(copies))


def _network(classifier: nn.Module) -> nn.Module:
    return classifier.network if isinstance(classifier, Normalized) else classifier


def _only_fit(path: str, matches: Sequence[Match], expected: Mapping[str, Tensor]) -> Match:
    """The one that fits; raises `ConfigError` if there is none, or several that differ."""
    fits = [each for each in matches if not each.faults]
    if not fits:
        nearest = min(matches, key=lambda each: each.faults)
        raise ConfigError(f"{path} {misfit(nearest, expected)}")
    names = [each.weights.where for each in fits]
    keys = "".join(f"[{name!r}]" for name in names[0].split("."))
    require(
        all(_same(fits[0].state, each.state) for each in fits[1:]),
        f"{path} holds several networks that fit, {' and '.join(names)}; keep the one that you mean: "
        f"torch.save(torch.load(FILE){keys}, OTHER_FILE)",
    )
    return fits[0]


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    shared = [(first[name], second[name]) for name in first if name in second]  # a counter may be missing
    return all(one.dtype == other.dtype and one.equal(other) for one, other in shared)


def _check_normalization(path: str, fit: Match, classifier: nn.Module) -> None:
    """Refuse a normalization in the file unless it is the classifier's own."""
    own = {"mean": classifier.mean, "std": classifier.std} if isinstance(classifier, Normalized) else {}
    known = all(name in own and _close(value, own[name]) for name, value in fit.normalization.items())
    require(
        known,
        f"{path} normalizes its input, which is a setting here; set {settings(fit.normalization)}",
    )


def _close(values: Tensor, own: Tensor) -> bool:
    """Whether both normalize alike: (n,), with a single value for all channels."""
    own = own.flatten().cpu()
    fits = len({len(values), len(own)} - {1}) < 2
    return fits and torch.allclose(values, own, rtol=1e-4)
