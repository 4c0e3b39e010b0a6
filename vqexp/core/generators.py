"""The global generators of torch, numpy and Python, from which code that is not ours may draw."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch


@contextmanager
def generators_kept() -> Iterator[None]:
    """The global generators of torch, numpy and Python are afterwards what they were before."""
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def seed_generators(seed: int) -> None:
    """Start the global generators of torch, numpy and Python from `seed`, in [0, 2^31)."""
    random.seed(seed)
    np.random.seed(seed)
    # for devices that are not there, torch.manual_seed keeps the whole stack, which takes milliseconds
    (torch.manual_seed if _accelerated() else torch.default_generator.manual_seed)(seed)


@cache
def _accelerated() -> bool:
    """Whether torch has another device than the CPU."""
    return torch.accelerator.is_available()
