"""What a sweep is to its sweeper: the runs, a check before the first, and what is shown at the end."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from vqexp.core.errors import require
from vqexp.pipeline import prepare
from vqexp.reports.sweep.preview import Cache, states


class Sweep(ABC):
    """The runs that a config and the overrides of its command line stand for.

    jobs: the overrides of each run. compose: gives the config of a job.
    """

    jobs: list[list[str]]

    def __init__(
        self, config: DictConfig, overrides: Sequence[Override], compose: Callable[[list[str]], DictConfig]
    ) -> None:
        """Choose the jobs. Raises `ConfigError` if they cannot be told from the settings."""
        self.config, self._compose = config, compose
        self.jobs = self.choose(overrides)

    @abstractmethod
    def choose(self, overrides: Sequence[Override]) -> list[list[str]]:
        """The jobs."""

    def check(self) -> None:
        """Raise `ConfigError` if a job cannot run."""
        for job in self.jobs:
            prepare(self.compose(job), check_store=False)

    def preview(self) -> None:
        """Print which jobs have records, and what the others take."""
        configs = [self.compose(job) for job in self.jobs]
        for job, state in zip(self.jobs, states(configs, self.cache), strict=True):
            print(f"{state}: {' '.join(job)}")

    @abstractmethod
    def finish(self, paths: Sequence[Path]) -> None:
        """Show what was found. paths: the record of each job."""

    def compose(self, job: list[str]) -> DictConfig:
        """The config of one job, which has no table or figure. Raises `ConfigError` if it has."""
        config = self._compose(job)
        for name in ("table", "figure"):
            require(config.get(name) is None, f"{name}= takes one {name} at a time")
        return config

    @cached_property
    def cache(self) -> Cache:
        """The records that exist."""
        return Cache(self.config.store.root)


def check_labels_stay_true(overrides: Sequence[Override], cells: Sequence[Mapping[str, Any]]) -> None:
    """Raise `ConfigError` for a choice, or a setting of the defense, in which the cells differ.

    All would run with one value under labels that name others. cells: the settings of each. A classifier is
    not for cells with an f of their own, so it may be chosen.
    """
    for override in overrides:
        name = override.key_or_group
        tells_apart = name != "classifier" and ("." not in name or name.startswith("defense."))
        values = dict.fromkeys(str(cell.get(name, "by default")) for cell in cells) if tells_apart else {}
        require(
            len(values) < 2,
            f"{name} is what tells rows or columns apart ({', '.join(values)}): leave it out, and choose by "
            "only_rows or only_columns",
        )


def by_seed(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides that go to every cell, once for each seed of `seed=0,1,2`: as many trainings."""
    seeds = [each for each in overrides if each.key_or_group == "seed" and each.is_sweep_override()]
    shared = shared_by_cells([each for each in overrides if each not in seeds])
    values = [str(value) for each in seeds for value in each.sweep_string_iterator()]
    return [[*shared, f"seed={value}"] for value in values] if values else [shared]


def shared_by_cells(overrides: Sequence[Override]) -> list[str]:
    """The overrides that go to every cell of a table or figure; raises `ConfigError` for several values."""
    for override in overrides:
        require(
            not override.is_sweep_override(),
            f"{override.input_line} is a sweep; every cell of a table or figure takes one value of it",
        )
    lines = [override.input_line for override in overrides if override.input_line]
    return [line for line in lines if not line.lstrip("+").startswith(("table", "figure", "dry_run"))]
