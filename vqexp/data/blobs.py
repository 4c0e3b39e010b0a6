"""Encoded images that lie on disk, of however many there are."""

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from vqexp.core.atomic import faults


class Blobs(Sequence[bytes]):
    """n byte strings, at first empty, in an unnamed file that is gone with this object.

    The system keeps in memory what there is room for. Threads may read at once.
    """

    def __init__(self, n: int) -> None:
        self._places = [(0, 0)] * n  # where each begins, and its length
        self._end = 0
        with faults(f"{tempfile.gettempdir()} cannot be written"):
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # as long as this object

    def __setitem__(self, index: int, blob: bytes) -> None:
        with faults(f"{tempfile.gettempdir()} cannot be written (TMPDIR names another folder)"):
            for start in range(0, len(blob), chunk := 2**24):
                self._file.write(blob[start : start + chunk])
        self._places[index] = self._end, len(blob)
        self._end += len(blob)

    def __getitem__(self, index: Any) -> Any:
        start, length = self._places[index]
        return os.pread(self._file.fileno(), length, start)

    def __len__(self) -> int:
        return len(self._places)
