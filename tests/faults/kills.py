"""Killing work at random moments: what a store has finished stays, and is never made twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra import compose, initialize_config_dir

from vqexp import results
from vqexp.core.components import own_choices
from vqexp.core.config import CONF, register_resolvers
from vqexp.core.store import Store
from vqexp.pipeline import run

# training, attack, evaluation and certificate, in several chunks each
SMALL = (
    *("scale=smoke", "training.epochs=3", "classifier.width=4"),
    *("dataset.n=8", "dataset.train_n=200", "attack.batch_size=4"),
)
RUNS = (
    ("defense=swrd", "attack=pgd", "adversary=eot"),
    ("defense=prd", "attack=fgsm"),
    ("defense=additive_noise", "attack=none", "metric=smoothing", "metric.draws=20", "metric.guess_draws=5"),
)


@dataclass(frozen=True)
class Killed:
    """kills: how often work was killed. lost: results that differ from the undisturbed ones, or are missing.

    twice: finished stages that were made again.
    """

    kills: int
    lost: int
    twice: int


def kill_runs(folder: Path, kills: int) -> Killed:
    """Does the runs undisturbed; then again and again, killed at random moments; compares.

    From a fresh process, as torch refuses to train in the fork of one that has trained.
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, __file__, str(folder), str(kills)]
    paths = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=paths).stdout
    return Killed(*json.loads(told))


def _kill_runs(folder: Path, kills: int, seed: int = 0) -> Killed:
    register_resolvers()
    log = folder / "log"
    start = time.monotonic()
    assert finished(lambda: _work(folder / "whole", folder / "unused"))
    duration = time.monotonic() - start
    moments, done, lost = random.Random(seed), 0, 0
    twice = Counter[str]()
    while done < kills:
        log.unlink(missing_ok=True)
        store = folder / f"killed{done}"
        # the next start goes on where the last was killed: each gets a share of the time
        while done < kills and not finished(lambda: _work(store, log), moments.uniform(0, duration / 2)):  # noqa: B023
            done += 1
        assert finished(lambda: _work(store, log))  # noqa: B023
        lost += len(set(_found(folder / "whole")) ^ set(_found(store)))
        twice.update(line for line, n in Counter(log.read_text().splitlines()).items() if n > 1)
    return Killed(done, lost, len(twice))


def finished(work: Callable[[], Any], seconds: float | None = None) -> bool:
    """Whether `work`, in a process of its own, came to its end before it was killed after some seconds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0 or os.WIFSIGNALED(status), "the work failed by itself"
            return status == 0
        if deadline is not None and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline = None
        time.sleep(0.005)


def _work(root: Path, log: Path) -> None:
    whole = Store._write

    def write(self: Store, job: Any, artifact: Any) -> None:
        whole(self, job, artifact)
        with log.open("a") as file:
            file.write(f"{job.kind} {job.key}\n")

    with initialize_config_dir(str(CONF), version_base="1.3"), patch.object(Store, "_write", write):
        for chosen in RUNS:
            run(compose("config", overrides=_overrides(chosen, root)))


def _overrides(chosen: Sequence[str], root: Path) -> list[str]:
    return own_choices([*SMALL, *chosen, f"store.root={root}"])


def _found(root: Path) -> list[str]:
    """What must not depend on kills: the numbers of every record, as text."""
    return [f"{record.key} {record.metrics} {record.artifacts}" for record in results.records(root)]


if __name__ == "__main__":
    print(json.dumps(astuple(_kill_runs(Path(sys.argv[1]), int(sys.argv[2])))))
