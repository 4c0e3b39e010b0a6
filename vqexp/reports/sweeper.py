"""Hydra sweepers: one that checks every run of a sweep before the first starts, one for a table's cells.

Hydra's own sweeper only knows cartesian products and finds a bad value when its turn comes.
"""

import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf, open_dict

from vqexp.pipeline import prepare
from vqexp.reports.table import Table, load_table, print_table

# Hydra's scan for plugins executes their modules anew, so the class to subclass exists only after it.
Plugins.instance()
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402

PLUGIN_MODULE = "hydra_plugins.vqexp"


class CheckedSweeper(BasicSweeper):
    """BasicSweeper, but no run starts, and nothing is written, unless all settings of all runs are good."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs that `arguments` describe; raises `ConfigError` before the first."""
        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(
            [*self._parse_config(), *arguments]
        )
        for batch in self.split_arguments(overrides, self.max_batch_size):
            for job in batch:
                self.check(list(job))
        return super().sweep(arguments)

    def check(self, job: list[str]) -> None:
        """Raise `ConfigError` if a run's settings are wrong."""
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, job)
        with open_dict(config):
            config.pop("hydra")
        prepare(config, check_store=False)


class TableSweeper(CheckedSweeper):
    """The cells of the table that the config names; other overrides apply to every cell."""

    def split_arguments(  # type: ignore[override]
        self, overrides: Sequence[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """One job a cell, in the order of the columns, so that cheap ones come first."""
        shared = self.shared(overrides)
        jobs = [cell.overrides + shared for cell in self.table().cells()]
        return BasicSweeper.split_arguments([], None) if not jobs else [jobs]

    @staticmethod
    def shared(overrides: Sequence[Override]) -> list[str]:
        """What of the command line goes to every cell."""
        return [
            override.input_line
            for override in overrides
            if override.input_line and not override.input_line.lstrip("+").startswith("table")
        ]

    def table(self) -> Table:
        """The table that the config describes."""
        assert self.config is not None
        settings = OmegaConf.to_container(self.config.table, resolve=True)
        assert isinstance(settings, dict)
        return load_table({str(name): value for name, value in settings.items()})

    def sweep(self, arguments: list[str]) -> Any:
        """Run the cells, then print the table with what was measured beside what was reported."""
        returns = super().sweep(arguments)
        paths = [result.return_value for batch in returns for result in batch]
        print_table(self.table(), self.table().cells(), paths)
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
