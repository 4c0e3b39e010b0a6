"""Hydra sweepers: one that checks every run of a sweep before the first starts, one for a table's cells.

Hydra's own sweeper only knows cartesian products and finds a bad value when its turn comes.
"""

import importlib.util
import sys
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf, open_dict

from vqexp.core.config import resolved
from vqexp.core.errors import ConfigError, MissingError, require
from vqexp.pipeline import prepare
from vqexp.reports.spec.shape import check_choice
from vqexp.reports.sweep.end import finish
from vqexp.reports.sweep.plan import Plan, chosen, make_plan
from vqexp.reports.sweep.preview import Cache, print_preview, state

# Hydra's scan for plugins executes their modules anew, so the class to subclass exists only after it.
Plugins.instance()
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402

PLUGIN_MODULE = "hydra_plugins.vqexp"


class CheckedSweeper(BasicSweeper):
    """BasicSweeper, but no run starts, and nothing is written, unless all settings of all runs are good."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs that `arguments` describe; raises `ConfigError` before the first."""
        assert self.config is not None
        check_choice(self.config)
        jobs = self._jobs(arguments)
        if self.config.dry_run:
            self.preview(jobs, Cache(self.config.store.root))
            return []
        self.check(jobs)
        return super().sweep(arguments) if self._jobs(arguments) else []

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Done before the first batch."""

    def check(self, jobs: list[list[str]]) -> None:
        """Raise `ConfigError` if a job cannot run."""
        for job in jobs:
            prepare(self.compose(job), check_store=False)

    def preview(self, jobs: list[list[str]], cache: Cache) -> None:
        """Print which jobs have records."""
        for job in jobs:
            print(f"{state(cache.has(resolved(self.compose(job))))}: {' '.join(job)}")

    def compose(self, job: list[str]) -> DictConfig:
        """The config of one job."""
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, job)
        with open_dict(config):
            config.pop("hydra")
        for name in ("table", "figure"):  # a cell has none
            require(config.get(name) is None, f"{name}= takes one {name} at a time")
        return config

    @staticmethod
    def shared(overrides: Sequence[Override]) -> list[str]:
        """What of the command line goes to every cell of a table or figure; a sweep is refused."""
        for override in overrides:
            require(
                not override.is_sweep_override(),
                f"{override.input_line} is a sweep; every cell of a table or figure takes one value of it",
            )
        lines = [override.input_line for override in overrides if override.input_line]
        return [line for line in lines if not line.lstrip("+").startswith(("table", "figure", "dry_run"))]

    def _jobs(self, arguments: list[str]) -> list[list[str]]:
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        return [list(job) for batch in self.split_arguments(overrides, self.max_batch_size) for job in batch]


class TableSweeper(CheckedSweeper):
    """The cells of the table or figure that the config names; other overrides apply to every cell.

    Cells whose data or weights are not on this machine are left out, with a line that says why.
    """

    plan: Plan | None = None

    def split_arguments(  # type: ignore[override]
        self, overrides: Sequence[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The plan's jobs, as one batch."""
        if self.plan is None:
            assert self.config is not None
            self.tables, self.figure = chosen(*self._settings())
            smoke_test = self.config.scale.name == "smoke"
            self.plan = make_plan(self.tables, self.shared(overrides), smoke_test=smoke_test)
        return [self.plan.jobs]

    def _settings(self) -> tuple[dict[str, Any], str]:
        assert self.config is not None
        kind = "table" if self.config.get("table") is not None else "figure"
        settings = OmegaConf.to_container(self.config[kind])
        assert isinstance(settings, dict)
        return {str(name): value for name, value in settings.items()}, kind

    def check(self, jobs: list[list[str]]) -> None:
        """Leave out what cannot run here; raise `ConfigError` for what is wrong, or if nothing is left."""
        assert self.plan is not None
        missing: dict[int, str] = {}
        for number, job in enumerate(jobs):
            try:
                prepare(self.compose(job), check_store=False)
            except MissingError as error:
                missing[number] = str(error)
        if jobs and len(missing) == len(jobs):
            raise ConfigError(missing[0])
        for message, count in Counter(
            missing[job] for _, _, job in self.plan.places if job in missing
        ).items():
            print(f"left out, {count} cells: {message}", flush=True)
        self.plan = self.plan.without(missing)

    def preview(self, jobs: list[list[str]], cache: Cache) -> None:
        """Print every cell with its reported value, and whether there is a record of it."""
        assert self.plan is not None
        configs = [resolved(self.compose(job)) for job in jobs]
        for table in self.tables:
            cells = [(cell, configs[job]) for own, cell, job in self.plan.places if own is table]
            print_preview(
                table, [cell for cell, _ in cells], [cache.state(cell, config) for cell, config in cells]
            )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the cells, then show them beside what was reported, and draw."""
        returns = super().sweep(arguments)
        assert self.config is not None
        assert self.plan is not None
        if not self.config.dry_run:
            paths = [result.return_value for batch in returns for result in batch]
            records = [(table, cell, paths[job]) for table, cell, job in self.plan.places]
            finish(
                self.tables, self.figure, records, self.config.store.root, self.config.scale.name == "smoke"
            )
        return returns


def register_sweepers(**more: type[CheckedSweeper]) -> None:
    """Make them known to Hydra: `basic` is then the checked one; a table's config chooses another."""
    plugins = Plugins.instance()
    _pose_as_plugin_module()
    sweepers: dict[str, type[CheckedSweeper]] = {"basic": CheckedSweeper, "table": TableSweeper, **more}
    for name, sweeper in sweepers.items():
        sweeper.__module__ = PLUGIN_MODULE
        globals()[sweeper.__name__] = sweeper
        plugins.register(sweeper)
        node = {"_target_": f"{PLUGIN_MODULE}.{sweeper.__name__}", "max_batch_size": None, "params": None}
        ConfigStore.instance().store(group="hydra/sweeper", name=name, node=node)


def _pose_as_plugin_module() -> None:
    """Hydra takes plugins from the namespace `hydra_plugins` only; lend this module that name."""
    parent, _, child = PLUGIN_MODULE.partition(".")
    if parent not in sys.modules and importlib.util.find_spec(parent) is None:
        sys.modules[parent] = ModuleType(parent)
    setattr(importlib.import_module(parent), child, sys.modules[__name__])
    sys.modules[PLUGIN_MODULE] = sys.modules[__name__]
