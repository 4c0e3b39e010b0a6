"""The command line: Hydra around `vqexp.pipeline.run`, with one-line errors and exit status."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vqexp.core.components import own_choices
from vqexp.core.config import CONF, CONFIG_FAULTS, config_message, register_resolvers, resolved
from vqexp.core.errors import WorkError, require
from vqexp.pipeline import read_record, run
from vqexp.reports.render.summary import print_summary
from vqexp.reports.spec.shape import check_choice
from vqexp.reports.sweep.audit_sweeper import AuditSweeper
from vqexp.reports.sweep.preview import Cache, state
from vqexp.reports.sweep.sweeper import register_sweepers

# What the user is told in one line; anything else is a bug and keeps its traceback.
FAULTS = (*CONFIG_FAULTS, WorkError, OSError, torch.OutOfMemoryError)


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def job(config: DictConfig) -> str:
    """One run; returns the record's path, for sweepers."""
    hydra_config = HydraConfig.get()
    sweep = hydra_config.mode == RunMode.MULTIRUN
    try:
        check_choice(config)
        for name in ("table", "figure"):
            many = config.get(name)
            require(sweep or many is None, f"{name}={many and many.name} stands for many runs: add -m")
        if config.dry_run:
            plain = resolved(config)
            print(state(Cache(plain["store"]["root"]).has(plain)))
            return ""
        group = Path(hydra_config.sweep.dir).name if sweep else None
        path = run(config, group, list(hydra_config.overrides.task))
    except FAULTS as error:
        if sweep:
            raise  # Hydra says which run of the sweep it was
        _stop(message_of(error), status_of(error))
    print_summary(read_record(path), path)
    return str(path)


def main() -> None:
    """Run; exit with 2 on bad input and 1 on a fault during work, with one line on stderr."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors arrive here, not printed with a traceback
    sys.argv[1:] = own_choices(sys.argv[1:])
    register_resolvers()
    register_sweepers(audit=AuditSweeper)
    try:
        job()
    except FAULTS as error:
        _stop(message_of(error), status_of(error))
    except KeyboardInterrupt:
        _stop("interrupted; the same command resumes", 130)


def status_of(error: BaseException) -> int:
    """2 for bad input, 1 for a fault during work."""
    return 2 if isinstance(error, CONFIG_FAULTS) else 1


def message_of(error: BaseException) -> str:
    """One line for any of `FAULTS`."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of GPU memory; lower attack.batch_size or defense.memory_limit, or use device=cpu"
    return config_message(error)


def _stop(message: str, status: int) -> NoReturn:
    print(f"vqexp: {message}", file=sys.stderr)
    raise SystemExit(status)
