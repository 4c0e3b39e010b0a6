"""The right to work on one file, for one process among those of all machines that share the file's folder.

A lease is a file beside it that only one process can make (`O_EXCL`). It says which process on which machine
holds it, and is touched as long as that process lives. Others take it over at once if they can tell that the
process has died, as they can on its own machine; else when it has not been touched for `LEASE` seconds by
their own clocks. There is no lock of the operating system, which a network would need a daemon for.

Of a shared file system this needs that `O_EXCL` and renaming are atomic, and that a file that is closed on
one machine is whole when another opens it, as on NFS since version 3. A process that is stopped for longer
than `LEASE` seconds and then goes on may make what another has made meanwhile; it is the same.
"""

import time
from contextlib import suppress
from pathlib import Path

from filelock import SoftFileLease, Timeout

from vqexp.core.object_lease import LEASE, ObjectLease
from vqexp.core.places import is_remote

UNWRITTEN = 10.0  # seconds after which an empty file is that of a process that died before it wrote it


class Lease:
    """The lease at `path`, in a folder or in object storage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = ObjectLease(path) if is_remote(path) else SoftFileLease(path, lease_duration=LEASE)

    def acquire(self, wait: bool) -> bool:
        """Whether this process now holds it; without `wait`, False at once if another does."""
        while True:
            self._remove_unwritten()
            try:
                self._lock.acquire(timeout=UNWRITTEN if wait else 0)
                return True
            except Timeout:
                if not wait:
                    return False

    def release(self) -> None:
        """Remove it, unless another process has taken it over; what cannot be removed expires."""
        with suppress(OSError):
            self._lock.release()

    def _remove_unwritten(self) -> None:
        """Remove an empty file: its process died between making and writing it. filelock waits for it."""
        if is_remote(self.path):
            return
        with suppress(OSError):
            found = self.path.stat()
            if found.st_size == 0 and time.time() - found.st_mtime > UNWRITTEN:
                self.path.unlink()
