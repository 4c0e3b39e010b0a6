"""Killing work at random moments: what a store has finished stays, and is never made twice."""

import gzip
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from vqexp import results
from vqexp.core.components import own_choices
from vqexp.core.config import CONF, register_resolvers
from vqexp.core.files import sha256_of_file
from vqexp.core.store import Store
from vqexp.pipeline import prepare, run
from vqexp.reports.render.kept import AUDITS, RECORDS
from vqexp.reports.render.report import write as write_report
from vqexp.reports.spec.figure import all_figures

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


FIGURE = "arxiv_figure4"


@dataclass(frozen=True)
class Killed:
    """kills: how often work was killed. lost: results that differ from the undisturbed ones, or are missing.

    twice: finished stages that were made again.
    """

    kills: int
    lost: int
    twice: int = 0


def kill_runs(folder: Path, kills: int) -> Killed:
    """Does the runs undisturbed; then again and again, killed at random moments; compares.

    In a fresh process, because torch refuses to train in the fork of a process that has trained.
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, __file__, str(folder), str(kills)]
    paths = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=paths).stdout
    return Killed(*json.loads(told))


def _kill_runs(folder: Path, kills: int) -> Killed:
    register_resolvers()
    _import_what_runs_import()
    log = folder / "log"
    killed = _kill(folder, kills, Path.mkdir, lambda store: _run_all(store, log), _records)
    made = Counter(log.read_text().splitlines())
    return replace(killed, twice=sum(times > 1 for times in made.values()))


def _import_what_runs_import() -> None:
    """Imports and composes what each fork need not do again; trains nothing."""
    for name in ("torch._dynamo", "sklearn.datasets", "statsmodels.stats.proportion"):
        importlib.import_module(name)
    for chosen in RUNS:
        prepare(_composed(chosen), check_store=False).defense(torch.rand(1, 1, 8, 8))


def kill_reports(folder: Path, kills: int) -> Killed:
    """Writes a report with its drawings undisturbed; then again and again, killed; compares the files.

    It finds what an earlier one left: some records of a figure, which it draws, and two audits.
    """
    published, before = CONF.parent / "results", folder / "before"
    header, *audits = (published / AUDITS).read_text().splitlines(keepends=True)
    (before / "audits").mkdir(parents=True)
    (before / AUDITS).write_text("".join([header, *audits[:2]]))
    for audit in audits[:2]:
        for path in (published / "audits").glob(f"{audit.split(',')[0]}.*"):
            shutil.copy(path, before / "audits")
    lines = gzip.decompress((published / RECORDS).read_bytes()).splitlines()
    some = [line for line in lines if json.loads(line)["reported"]["table"] == FIGURE][:12]
    (before / RECORDS).write_bytes(gzip.compress(b"\n".join(some)))
    figures = [figure for figure in all_figures() if figure.drawing is None]  # those show no record

    def write(results: Path) -> None:
        with patch("vqexp.reports.render.material.all_figures", lambda: figures):
            write_report(folder / "store", results)

    def copied(results: Path) -> None:
        shutil.copytree(before, results)

    write(shutil.copytree(before, folder / "first"))  # what is slow once is cached
    return _kill(folder, kills, copied, write, _files)


def _kill(
    folder: Path,
    kills: int,
    begin: Callable[[Path], None],
    work: Callable[[Path], Any],
    found: Callable[[Path], list[str]],
    seed: int = 0,
) -> Killed:
    """begin: makes the folder that `work` goes on from. found: what must not depend on kills, in texts."""
    whole, moments, done, lost = folder / "whole", random.Random(seed), 0, 0
    begin(whole)
    start = time.monotonic()
    assert finished(lambda: work(whole))
    duration = time.monotonic() - start
    for number in itertools.count():
        if done == kills:
            break
        begin(place := folder / f"killed{number}")
        # the next start goes on where the last was killed: each gets a share of the time
        while done < kills and not finished(lambda: work(place), moments.uniform(0, duration / 2)):
            done += 1
        assert finished(lambda: work(place))
        lost += len(set(found(whole)) ^ set(found(place)))
    return Killed(done, lost)


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


def _run_all(root: Path, log: Path) -> None:
    whole = Store._write

    def write(self: Store, job: Any, artifact: Any) -> None:
        whole(self, job, artifact)
        with log.open("a") as file:
            file.write(f"{root} {job.kind} {job.key}\n")

    with patch.object(Store, "_write", write):
        for chosen in RUNS:
            run(OmegaConf.merge(_composed(chosen), {"store": {"root": str(root)}}))


@cache
def _composed(chosen: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=own_choices([*SMALL, *chosen]))


def _records(root: Path) -> list[str]:
    """The numbers of every record."""
    return [f"{record.key} {record.metrics} {record.artifacts}" for record in results.records(root)]


def _files(root: Path) -> list[str]:
    """Names and contents, but of those that a killed process left, which a later one removes."""
    paths = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return [f"{path.relative_to(root)} {sha256_of_file(path)}" for path in paths]


if __name__ == "__main__":
    print(json.dumps(astuple(_kill_runs(Path(sys.argv[1]), int(sys.argv[2])))))
