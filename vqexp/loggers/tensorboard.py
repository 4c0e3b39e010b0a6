"""A run's figures for TensorBoard."""

import json
import numbers
from pathlib import Path
from typing import Any

from vqexp.core.atomic import faults
from vqexp.core.errors import MissingError, one_line
from vqexp.core.notes import note


class TensorBoard:
    """Each run becomes a folder `<store>/tensorboard/<group>/<name>`, or `<name>-2` and so on.

    Epochs' figures are scalars under their names, final ones under `final/`, and the config is a text.
    Raises `MissingError` where the extra is not installed; `start` raises `WorkError` where the folder cannot
    be written.
    """

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingError(
                f"logger=tensorboard needs an extra, pip install 'vqexp[tensorboard]' ({one_line(error)})"
            ) from error
        self._kind: Any = SummaryWriter
        self._writer: Any = None

    def start(self, config: dict[str, Any], group: str | None, name: str, dir: str) -> None:
        root = Path(dir) / "tensorboard"
        with faults(f"{root} cannot be written"):
            folder = _new(root / (group or "."), name)
            self._writer = self._kind(str(folder))
        self._writer.add_text("config", f"```json\n{json.dumps(config, indent=1, default=str)}\n```")
        note(f"the run's figures are in {folder}: `tensorboard --logdir {root}` shows them")

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._writer is not None:
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def finish(self, summary: dict[str, Any]) -> None:
        if self._writer is not None:
            for name, value in summary.items():
                if isinstance(value, numbers.Real):
                    self._writer.add_scalar(f"final/{name}", value)
                else:
                    self._writer.add_text(f"final/{name}", str(value))
            self._writer.close()
            self._writer = None


def _new(folder: Path, name: str) -> Path:
    """The first folder of the name that no other run has, made now."""
    number = 1
    while True:
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
