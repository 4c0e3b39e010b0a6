"""Files that appear whole or not at all."""

import errno
import glob
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vqexp.core.errors import WorkError

STALE = 3600  # seconds after which nobody writes a temporary file any more, on whatever machine


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there becomes `path` at the end.

    After an error, or where the process dies, `path` is what it was. Raises `WorkError` on a full disk and
    the like.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}")
    with faults(f"{path} cannot be written"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path, STALE)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path, older: float) -> None:
    """Of processes that were killed as they wrote to `path`; those that are `older` than so many seconds."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime >= older:
                left.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, as `atomically` does."""
    with atomically(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def faults(what: str) -> Iterator[None]:
    """Turns an `OSError` into a one-line `WorkError`: WHAT, and why."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise WorkError(f"{what}: {reason}") from None
