"""The sweeper behind `-m`, in the namespace where Hydra looks for plugins.

Hydra imports this module at every start, so what is slow to import is imported by the methods that need it.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vqexp.core.errors import ConfigError, WorkError, check_number, one_line, require
from vqexp.core.secrets import without_secrets

VALUE = re.compile(r"(cell|place|[a-z_]\w*(\.\w+)+)=.*", re.DOTALL)  # sets a value, and chooses no file
CHOICE = re.compile(r"\w+=[\w/]+")


class Files(CachingConfigRepository):
    """The config files, each read once for all runs of a sweep; a run gets a copy, which it may change."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        return deepcopy(super().load_config(config_path))

    def __deepcopy__(self, memo: dict[int, object]) -> "Files":
        return self


class CheckedSweeper(Sweeper):
    """Starts no run and writes nothing unless the settings of all runs are good.

    Hydra's own sweeper only knows cartesian products and finds a bad value when its turn comes.
    """

    hydra_context: HydraContext
    config: DictConfig

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        """max_batch_size: how many runs the launcher gets at a time; None for all of them.

        params: settings and values as on the command line, which overrides them.
        """
        if max_batch_size is not None:
            check_number("hydra.sweeper.max_batch_size", max_batch_size, low=1, integer=True)
        fits = params is None or isinstance(params, Mapping)
        require(fits, f"hydra.sweeper.params is {params!r}; it must be a mapping of settings to values")
        self.max_batch_size, self.params = max_batch_size, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        loader: Any = hydra_context.config_loader
        loader.repository = Files(loader.repository)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run what `arguments` describe, then show it; returns the results, a list for each batch.

        Raises `ConfigError` before the first run if any cannot run, and the error of a run that fails.
        """
        from vqexp.reports.sweep.kinds import kind_of
        from vqexp.reports.sweep.shards import records, split, without_shards

        wanted = self.config.optimize
        require(
            wanted is None, f"optimize={wanted} needs a sweeper that searches, such as hydra/sweeper=optuna"
        )
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{name}={value}" for name, value in self.params.items()]
        overrides, shards = without_shards(parser.parse_overrides([*params, *arguments]))
        sweep = kind_of(self.config)(self.config, overrides, self.compose)
        if self.config.dry_run:
            sweep.preview()
            return []
        sweep.check()
        batches = self.launch(split(sweep.jobs, shards))
        paths = records([result.return_value for batch in batches for result in batch], shards)
        if paths is not None:
            sweep.finish(paths)
        return batches

    def compose(self, job: list[str]) -> DictConfig:
        """The config of the run with these overrides.

        Hydra takes a quarter of a second to compose files, so runs of the same files share them.
        """
        values = [text for text in job if VALUE.fullmatch(text)]
        choices = tuple(text for text in job if text not in values)
        if not all(CHOICE.fullmatch(text) for text in choices):  # whose order may matter
            return self._by_hydra(job)
        if choices not in self.composed:
            self.composed[choices] = self._by_hydra(list(choices))
        config = deepcopy(self.composed[choices])
        try:
            for override in OverridesParser.create().parse_overrides(values):
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:  # of which Hydra says more
            return self._by_hydra(job)
        return config

    def _by_hydra(self, overrides: list[str]) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.pop("hydra")
        return config

    def launch(self, jobs: list[list[str]]) -> list[Sequence[JobReturn]]:
        """Hand the jobs to the launcher, batch by batch; raises the error of a job that fails."""
        assert self.launcher is not None
        if not jobs:
            return []
        folder = Path(self.config.hydra.sweep.dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "multirun.yaml").write_text(without_secrets(OmegaConf.to_yaml(self.config)))
        except OSError as error:
            raise ConfigError(f"hydra.sweep.dir={folder} cannot be written: {error.strerror}") from None
        if self.max_batch_size is None and isinstance(self.launcher, BasicLauncher):
            return [self._one_after_the_other(jobs)]
        size = self.max_batch_size or len(jobs)
        return [self._launched(jobs[start : start + size], start) for start in range(0, len(jobs), size)]

    def _one_after_the_other(self, jobs: list[list[str]]) -> list[JobReturn]:
        """The results of all jobs; those that another process is at come last: it may be done by then."""
        from vqexp.core.keys import key_of
        from vqexp.core.places import place
        from vqexp.core.turns import in_turn

        names = [key_of("run", sorted(job)) for job in jobs]
        results: dict[int, JobReturn] = {}
        for number in in_turn(names, place(self.config.store.root) / "running"):
            (results[number],) = self._launched([jobs[number]], number)
        return [results[number] for number in range(len(jobs))]

    def _launched(self, jobs: list[list[str]], first: int) -> Sequence[JobReturn]:
        assert self.launcher is not None
        try:
            results = self.launcher.launch(jobs, initial_job_idx=first)
        except (ConfigError, WorkError, OSError):
            raise
        except Exception as error:  # the launcher's own: those of jobs are in their results
            kind = ConfigError if isinstance(error, ValueError) else WorkError
            raise kind(f"the launcher fails: {one_line(error)}") from error
        for result in results:
            result.return_value  # noqa: B018  # raises the error of a run that failed
        return results
