"""One run, alone or of a sweep: made for its cell, and told in a table, or a row of an audit in a line."""

import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from vqexp.core.errors import WorkError
from vqexp.core.halving import LOWER, out_of_memory
from vqexp.pipeline import read, run
from vqexp.reports.render.audit_row import running
from vqexp.reports.render.summary import print_summary
from vqexp.reports.spec.made_for import made_for


def run_one(config: DictConfig, group: str | None, overrides: Sequence[str], *, told: bool = True) -> Path:
    """Does what `config` says, prints what was found if `told`, and returns the record's path.

    group: the sweep's name. overrides: those of the command line. Raises as `run` does, `WorkError` too if
    memory is too small for what cannot be halved.
    """
    start = time.monotonic()
    try:
        path = run(config, group, overrides, made_for(config.cell))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise WorkError(f"out of memory; {LOWER} or training.batch_size") from error
    if told and config.place is not None:
        line = running(group).line(read(path), config.store.root, config.place, time.monotonic() - start)
        print(line, flush=True)
    elif told:
        print_summary(read(path), path)
    return path
