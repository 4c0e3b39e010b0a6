"""Each fixture and each test starts from a seed of its own, in whatever order and process it runs.

So a test that passes once passes always. `VQEXP_TEST_SEED=1 make test` draws other numbers, and Hypothesis
other examples: a test that then fails has too thin a margin.
"""

import os
from zlib import crc32

import hypothesis
import pytest

from vqexp.core.generators import seed_generators

SEED = int(os.environ.get("VQEXP_TEST_SEED", "0"))

hypothesis.settings.register_profile("repeatable", derandomize=SEED == 0, deadline=None)
hypothesis.settings.load_profile("repeatable")


def seed_by(name):
    """Seed the global generators from SEED and `name`, so that two names do not draw alike."""
    seed_generators(crc32(f"{SEED} {name}".encode()) % 2**31)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    seed_by(f"{fixturedef.argname} {request.param_index}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    seed_by(item.nodeid)
