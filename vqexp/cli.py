"""The command line: Hydra around `vqexp.pipeline.run`, with one-line errors and exit status."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vqexp.config import CONFIG_FAULTS, config_message, register_resolvers
from vqexp.errors import ConfigError, WorkError, one_line
from vqexp.pipeline import read_record, run
from vqexp.reports.summary import print_summary
from vqexp.reports.sweeper import register_sweepers

CONF = str(Path(__file__).parents[1] / "conf")


@hydra.main(config_path=CONF, config_name="config", version_base="1.3")
def job(config: DictConfig) -> str:
    """One run; returns the record's path, for sweepers."""
    hydra_config = HydraConfig.get()
    sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        path = run(config, hydra_config.sweep.dir if sweep else None)
    except (ConfigError, WorkError) as error:
        if sweep:
            raise  # Hydra says which run of the sweep it was
        _stop(one_line(error), status_of(error))
    print_summary(read_record(path), path)
    return str(path)


def main() -> None:
    """Run; exit with 2 on bad input and 1 on a fault during work, with one line on stderr."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors arrive here, not printed with a traceback
    register_resolvers()
    register_sweepers()
    try:
        job()
    except (*CONFIG_FAULTS, WorkError) as error:
        _stop(config_message(error), status_of(error))
    except KeyboardInterrupt:
        _stop("interrupted; the same command resumes", 130)


def status_of(error: BaseException) -> int:
    """1 for a fault during work, 2 for bad input."""
    return 1 if isinstance(error, WorkError) else 2


def _stop(message: str, status: int) -> NoReturn:
    print(f"vqexp: {message}", file=sys.stderr)
    raise SystemExit(status)
