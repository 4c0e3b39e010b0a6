"""Each fixture and each test starts from a seed of its own, in whatever order and process it runs.

So a test that passes once passes always. `VQEXP_TEST_SEED=1 make test` draws other numbers, and Hypothesis
other examples: a test that then fails has too thin a margin.
"""

import os
import random
from zlib import crc32

import hypothesis
import numpy as np
import pytest
import torch

SEED = int(os.environ.get("VQEXP_TEST_SEED", "0"))

hypothesis.settings.register_profile("repeatable", derandomize=SEED == 0, deadline=None)
hypothesis.settings.load_profile("repeatable")


def seed_all(name):
    """Seed the three global generators from SEED and `name`, so that no two names draw alike."""
    seed = crc32(f"{SEED} {name}".encode())
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    seed_all(f"{fixturedef.argname} {getattr(request, 'param_index', '')}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    seed_all(item.nodeid)
