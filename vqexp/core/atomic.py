"""Files that appear whole or not at all."""

import errno
import glob
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from vqexp.core.errors import WorkError, one_line
from vqexp.core.places import is_remote, is_storages

STALE = 3600  # seconds after which nobody writes a temporary file any more, on whatever machine


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there becomes `path` at the end.

    After an error, or where the process dies, `path` is what it was. Raises `WorkError` on a full disk and
    the like.
    """
    if is_remote(path):
        with TemporaryDirectory() as folder:
            temporary = Path(folder, path.name)
            yield temporary
            write_atomically(path, temporary.read_bytes())
        return
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
    if is_remote(path):
        return
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime >= older:
                left.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, as `atomically` does."""
    if is_remote(path):
        with faults(f"{path} cannot be written"):
            path.write_bytes(data)
        return
    with atomically(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def faults(what: str) -> Iterator[None]:
    """Turns an `OSError`, or what object storage raises, into a one-line `WorkError`: WHAT, and why."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or one_line(error)
        raise WorkError(f"{what}: {reason}") from None
    except Exception as error:
        if not is_storages(error):
            raise
        raise WorkError(f"{what}: {one_line(error)}") from None
