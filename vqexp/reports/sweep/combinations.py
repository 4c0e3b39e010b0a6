"""A sweep over values, such as `defense=prd,swrd defense.k=10,25`: one run for each combination."""

from collections.abc import Sequence
from itertools import islice, product
from math import prod
from pathlib import Path

from hydra.core.override_parser.types import Override

from vqexp.core.errors import require
from vqexp.reports.sweep.base import Sweep

MOST = 10_000  # runs; a larger sweep is a slip


class Combinations(Sweep):
    """Every combination of the values given; the last setting on the command line varies fastest."""

    def choose(self, overrides: Sequence[Override]) -> list[list[str]]:
        """One job a combination. A setting that is given twice has its last values."""
        values = {}
        for override in overrides:
            name = override.get_key_element()
            if override.is_sweep_override():
                discrete = override.is_discrete_sweep()
                require(discrete, f"{override.input_line} has no list of values; give choices or a range")
                found = list(islice(override.sweep_string_iterator(), MOST + 1))
                require(found, f"{override.input_line} has no value")
                values[name] = [f"{name}={text}" for text in found]
            else:
                values[name] = [f"{name}={override.get_value_element_as_str()}"]
            runs = prod(len(found) for found in values.values())
            require(runs <= MOST, f"the sweep has more than {MOST:,} runs; give fewer values")
        return [list(job) for job in product(*values.values())]

    def finish(self, paths: Sequence[Path]) -> None:
        """Show nothing more: every run has printed its own results."""
