"""How the names in a checkpoint become those of a network, and what does not fit."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from vqexp.classifiers.contents import Weights

# what wrappers put before the names: torch.compile, DataParallel, a module around the network, a Sequential
PREFIX = re.compile(r"(?:_orig_mod|module|model|net|network|0|1)\.")
COUNTER = "num_batches_tracked"  # of a BatchNorm, for a training that goes on without a momentum
HARMLESS = (COUNTER, "n_averaged", "epoch", "step", "best_acc")  # no network's output depends on them
NORMALIZATION = {"mean": "mean", "mu": "mean", "std": "std", "sigma": "std"}  # a buffer's name -> which it is
CHANNELS = 4  # at most, of an input normalization


@dataclass(frozen=True)
class Match:
    """`weights` against a network's state dict.

    prefix: what all the network's names have before them in the file. state: the file's tensors by the
    network's names. filled: counters that the file lacks. left_out: names of what is of no use.
    normalization: `mean` and `std` (channels,) of the input, as far as the file has them.
    missing, unexpected, misshapen: what does not fit; names of the network, of the file, of the network.
    """

    weights: Weights
    prefix: str
    state: dict[str, Tensor]
    filled: list[str]
    left_out: list[str]
    normalization: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]

    @property
    def faults(self) -> int:
        """How many names do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)


def match(expected: Mapping[str, Tensor], weights: Weights) -> Match:
    """`weights` with that prefix stripped under which most names of `expected`, a state dict, are found."""
    found = weights.tensors
    prefix = max(_prefixes(found), key=lambda each: sum(each + name in found for name in expected))
    state = {name: found[prefix + name] for name in expected if prefix + name in found}
    used = {prefix + name for name in state}
    rest = {name: value for name, value in found.items() if name not in used}
    absent = [name for name in expected if name not in state]
    normalizing = _normalizing(rest)
    beside = {name: value for name, value in weights.beside.items() if isinstance(value, Tensor)}
    harmless = [name for name in rest if _last(name) in HARMLESS]
    return Match(
        weights=weights,
        prefix=prefix,
        state=state,
        filled=[name for name in absent if _last(name) == COUNTER],
        left_out=[*harmless, *weights.beside],
        normalization={
            NORMALIZATION[_last(name)]: value.flatten().float()
            for name, value in (normalizing | _normalizing(beside)).items()
        },
        missing=[name for name in absent if _last(name) != COUNTER],
        unexpected=[name for name in rest if name not in normalizing and name not in harmless],
        misshapen=[name for name, value in state.items() if value.shape != expected[name].shape],
    )


def _prefixes(names: Iterable[str]) -> list[str]:
    """All chains of wrappers' prefixes that a name begins with, the shortest first; "" among them."""
    chains = {""}
    for name in names:
        end = 0
        while found := PREFIX.match(name, end):
            end = found.end()
            chains.add(name[:end])
    return sorted(chains, key=lambda chain: (len(chain), chain))


def _normalizing(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that an input normalization has, by their names and sizes."""
    return {
        name: value
        for name, value in tensors.items()
        if _last(name) in NORMALIZATION and 1 <= value.numel() <= CHANNELS
    }


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
