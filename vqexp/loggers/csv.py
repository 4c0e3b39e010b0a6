"""A run's figures in a CSV file, to watch or to plot."""

import csv
from pathlib import Path
from typing import Any, TextIO

from vqexp.core.atomic import faults
from vqexp.core.notes import note


class CSV:
    """Each run becomes `<store>/logs/<name>.csv`, or `<name>-2.csv` and so on: a figure a line, as it comes.

    Columns: step (from 1; empty for final figures), name, value. `start` and `log` raise `WorkError` where
    the file cannot be written.
    """

    def __init__(self) -> None:
        self._file: TextIO | None = None

    def start(self, config: dict[str, Any], group: str | None, name: str, dir: str) -> None:
        folder = Path(dir) / "logs"
        with faults(f"{folder} cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = _new(folder, name)
        self._write([("step", "name", "value")])
        note(f"the run's figures are in {self._file.name}")

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._write([("" if step is None else step, name, value) for name, value in metrics.items()])

    def finish(self, summary: dict[str, Any]) -> None:
        self.log(summary)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        if self._file is not None:
            with faults(f"{self._file.name} cannot be written"):
                csv.writer(self._file).writerows(rows)
                self._file.flush()


def _new(folder: Path, name: str) -> TextIO:
    """The first file of the name that no other run has, open for writing."""
    number = 1
    while True:
        try:
            return open(folder / f"{name}{'' if number == 1 else f'-{number}'}.csv", "x", newline="")
        except FileExistsError:
            number += 1
