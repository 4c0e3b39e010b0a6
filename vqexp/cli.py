"""The command line: Hydra around `vqexp.pipeline.run`, with one-line errors and exit status.

torch and all that needs it are imported by a job only, so that help, settings and typos are told at once.
"""

import errno
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

import vqexp
from vqexp.commands import COMMANDS, run_command
from vqexp.core.components import own_choices
from vqexp.core.config import (
    CONF,
    CONFIG_FAULTS,
    check_choices,
    config_message,
    is_readers,
    register_resolvers,
)
from vqexp.core.errors import ConfigError, Unfinished, WorkError, one_of, require
from vqexp.core.places import is_storages
from vqexp.core.secrets import without_secrets
from vqexp.help import help_text
from vqexp.reports.spec.shape import check_choice

# What the user is told in one line; anything else is a bug and keeps its traceback.
FAULTS = (*CONFIG_FAULTS, WorkError, OSError)


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(config: DictConfig) -> str | float:
    """One run; returns the record's path or, for a sweeper that searches, the metric named by `optimize`."""
    hydra_config = HydraConfig.get()
    sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        check_choice(config)
        for name in ("table", "figure"):
            many = config.get(name)
            require(sweep or many is None, f"{name}={many and many.name} stands for many runs: add -m")
        if config.dry_run:
            _preview(config)
            return ""
        require(
            sweep or config.optimize is None,
            f"optimize={config.optimize} is for a search: add -m and a sweeper, such as hydra/sweeper=optuna",
        )
        group = Path(hydra_config.sweep.dir).name if sweep else None
        path = _run(config, group, list(hydra_config.overrides.task))
        if path is None:
            return ""
        return _measured(path, config.optimize) if config.optimize else str(path)
    except FAULTS as error:
        if sweep:
            raise  # Hydra says which run of the sweep it was
        _stop(error)


def _preview(config: DictConfig) -> None:
    from vqexp.reports.sweep.preview import Cache, states  # torch is slow to import

    print(*states([config], Cache(config.store.root)))


def _run(config: DictConfig, group: str | None, overrides: list[str]) -> Path | None:
    """Returns the record's path; None where other shares of its chunks are still to come."""
    from vqexp.reports.sweep.one import run_one  # torch is slow to import

    try:
        return run_one(config, group, overrides)
    except Unfinished as waiting:
        print(waiting)
        return None


def _measured(path: Path, metric: str) -> float:
    from vqexp.pipeline import read

    found = read(path).metrics
    one_of("optimize", metric, found)
    return found[metric].mean


def main() -> None:
    """Run; exit with 2 on bad input and 1 on a fault during work, with one line on stderr."""
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        _command(*sys.argv[1:])
        return
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        return
    if "--version" in sys.argv[1:]:
        print(f"vqexp {vqexp.__version__}")
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors arrive here, not printed with a traceback
    sys.argv[1:] = own_choices(sys.argv[1:])
    register_resolvers()
    try:
        check_choices(_flags().overrides)
        job()
    except Exception as error:
        if is_readers(error):
            _stop(ConfigError(config_message(error)))
        if not _is_fault(error):
            raise
        _stop(error)
    except KeyboardInterrupt:
        print(
            "vqexp: interrupted; what is finished is kept, and the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(130)


def _command(name: str, *arguments: str) -> None:
    try:
        run_command(name, arguments)
    except Exception as error:
        if not _is_fault(error):
            raise
        _stop(error)


def _is_fault(error: Exception) -> bool:
    return isinstance(error, FAULTS) or is_storages(error)


def _flags() -> Namespace:
    """The command line by Hydra's parser; raises `ConfigError` for a flag that there is not."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; --help shows what there is")

    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args()


def _stop(error: BaseException) -> NoReturn:
    """Tell the error in one line; exit with 2 for bad input, 1 for a fault during work."""
    print(f"vqexp: {without_secrets(config_message(error))}", file=sys.stderr)
    too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG  # a setting names the file
    sys.exit(2 if too_long or isinstance(error, CONFIG_FAULTS) else 1)
