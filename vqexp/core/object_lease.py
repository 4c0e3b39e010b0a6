"""A lease in object storage, which has no files to touch and no clock to share.

It is an object that only one process can make, by a conditional write ("if none is there"), and that its
holder writes anew every minute, with a higher number. Others take it over at once if they see that its holder
has died on their own machine, else when they have seen one number for `LEASE` seconds by their own clocks.

Where the storage knows no conditional writes, or where two take over at the same moment, two processes may
work on one artifact. Each makes the same, and writes it whole.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import Timeout

from vqexp.core.places import read_bytes

POLL = 1.0  # seconds between two looks at a lease that another process holds
LEASE = 180.0  # seconds without a sign of life; a busy machine may be silent for a while

_seen: dict[str, tuple[bytes, float]] = {}  # what a lease of others held, and since when


class ObjectLease:
    """The lease in the object at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._remote: Any = path  # a upath.UPath
        self._owner = uuid.uuid4().hex
        self._done = threading.Event()
        self._life: threading.Thread | None = None

    def acquire(self, timeout: float) -> None:
        """Hold it; raises `Timeout` if another still does after so many seconds."""
        end = time.monotonic() + timeout
        while not self._taken():
            if time.monotonic() >= end:
                raise Timeout(str(self.path))
            time.sleep(POLL)
        self._done.clear()
        self._life = threading.Thread(target=self._beat, daemon=True)
        self._life.start()

    def release(self) -> None:
        """Remove the object, unless another process has taken it over."""
        self._done.set()
        if self._life is not None:
            self._life.join()  # lest it writes what is removed
        with suppress(Exception):  # whatever the client raises; it expires
            if self._is_mine():
                self.path.unlink()

    def _taken(self) -> bool:
        if self._abandoned():
            with suppress(FileNotFoundError):
                self.path.unlink()
        try:
            self._write(0, mode="create")
        except FileExistsError:
            return False
        _seen.pop(str(self.path), None)
        return True

    def _abandoned(self) -> bool:
        """Whether the object is of a process that has died."""
        try:
            found = read_bytes(self.path)
        except FileNotFoundError:
            return False
        before, since = _seen.setdefault(str(self.path), (found, time.monotonic()))
        if found != before:
            _seen[str(self.path)] = (found, time.monotonic())
        elif time.monotonic() - since > LEASE:
            return True
        with suppress(ValueError, KeyError, TypeError):
            holder = json.loads(found)
            return holder["host"] == socket.gethostname() and not is_alive(int(holder["pid"]))
        return False

    def _beat(self) -> None:
        number = 1
        while not self._done.wait(LEASE / 3):
            with suppress(Exception):  # others may then take over
                if not self._is_mine():
                    return
                self._write(number)
            number += 1

    def _is_mine(self) -> bool:
        return bool(json.loads(read_bytes(self.path))["owner"] == self._owner)

    def _write(self, number: int, **how: str) -> None:
        told = {"host": socket.gethostname(), "pid": os.getpid(), "owner": self._owner, "number": number}
        self._remote.fs.pipe_file(self._remote.path, json.dumps(told).encode(), **how)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
