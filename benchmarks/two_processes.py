"""How long two processes take for a table that one takes a while for: a part of Table 2, in minutes.

    python benchmarks/two_processes.py
    python benchmarks/two_processes.py --images 64 --turns 3

All quantizers of the table, without attack and against PGD that ignores them, on a few of CIFAR-10's test
images (`VQEXP_DATA`), with the real network and attack. f is trained beforehand, on 128 images, which changes
no other time. Each process has one thread. One process and two take turns, each time on a fresh store; a
ratio of 0.5 is the least that two can reach, and starting a process takes seconds that they do not share.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = ["RandDisc (s=1, k=25)", "pRD (s=2, k=25)", "pRD (s=2, k=70)", "swRD (s=3, k=25)", "swRD (s=3, k=70)"]
F = ["classifier=resnet18", "training.epochs=1", "dataset.train_n=128"]


def command(store: Path, columns: str, *overrides: str) -> list[str]:
    """The command line of a process."""
    table = ["table=vq_table2", f"table.only_rows={json.dumps(ROWS)}", f"table.only_columns=[{columns}]"]
    settings = ["scale=cpu", "attack.batch_size=8", f"store.root={store}", *F, *overrides]
    return [sys.executable, str(ROOT / "run.py"), "-m", *table, *settings]


def seconds(commands: list[list[str]]) -> float:
    """How long the commands take, started together; raises `CalledProcessError` if one fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    started = [
        subprocess.Popen(each, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) for each in commands
    ]
    for process, each in zip(started, commands, strict=True):
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, each)
    return time.perf_counter() - start


def main() -> None:
    """Print seconds and ratios as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder, "trained")
        seconds([command(trained, "natural", "dataset.n=1")])
        rows = []
        for turn in range(options.turns):
            found = {}
            for processes in (1, 2):
                store = Path(folder, f"{turn}-{processes}")
                shutil.copytree(trained / "classifier", store / "classifier")
                line = command(store, "natural,pgd", f"dataset.n={options.images}")
                found[processes] = seconds([line] * processes)
            rows.append({"one": round(found[1], 1), "two": round(found[2], 1), "ratio": found[2] / found[1]})
            print(json.dumps(rows[-1] | {"load": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()
