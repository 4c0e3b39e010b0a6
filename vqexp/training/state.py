"""A training's complete state on disk after each epoch, so that a killed training resumes where it was."""

import io
import sys
from pathlib import Path
from typing import Any

import torch

from vqexp.core.atomic import write_atomically


class StateFile:
    """The file at `path` (None: nothing is ever kept) for the training that `fingerprint` tells from others.

    Both the state and the fingerprint consist of tensors, numbers, strings, lists and dicts.
    """

    def __init__(self, path: Path | None, fingerprint: dict[str, Any]) -> None:
        self._path = path
        self._fingerprint = fingerprint

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file at once. Raises `WorkError` if it cannot be written."""
        if self._path is None:
            return
        data = io.BytesIO()
        torch.save({"fingerprint": self._fingerprint, **state}, data)
        write_atomically(self._path, data.getvalue())

    def read(self) -> dict[str, Any] | None:
        """The state, or None: a file broken or of another training is ignored, with a note on stderr."""
        if self._path is None or not self._path.exists():
            return None
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
            if state["fingerprint"] == self._fingerprint:
                return state
            reason = "it is of another training"
        except Exception as error:  # a broken byte can lead torch.load to any exception
            reason = f"it is broken, {type(error).__name__}"
        print(f"note: {self._path} is ignored ({reason}); training starts over", file=sys.stderr)
        return None

    def remove(self) -> None:
        """Remove the file and what a killed write left beside it."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            for left in self._path.parent.glob(f".{self._path.name}.*"):
                left.unlink(missing_ok=True)
