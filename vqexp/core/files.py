"""Hashes of files' contents, remembered so that a file is read once while its size and time stay the same."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from vqexp.core.atomic import write_atomically
from vqexp.core.errors import ConfigError, WorkError, one_line
from vqexp.core.keys import key_of
from vqexp.core.places import local_folder
from vqexp.core.progress import progress_bar
from vqexp.core.store import default_root

# A file this young, in ns, may change again without a change of its time: some disks keep whole seconds.
YOUNG = 2 * 10**9

# Path: size, modification time in ns, hex sha256.
Known = dict[str, tuple[int, int, str]]


def hash_files(name: str, paths: Sequence[Path]) -> list[str]:
    """The hex sha256 of the bytes of each of `paths`, in that order.

    Those that an earlier run worked out are taken from `hashes/` in the default store, where each `name`,
    the split's, has a file. New ones are added; if that cannot be written, the next process reads again.
    Raises ConfigError, naming the file, if one of `paths` cannot be read.
    """
    kept = local_folder(default_root()).absolute() / "hashes" / f"{key_of(os.path.abspath(name))}.json"
    known, new = _known(kept), {}
    now, places = time.time_ns(), [os.path.abspath(path) for path in paths]
    stats = dict(zip(places, map(_size_and_time, paths), strict=True))
    unread = [place for place in stats if place not in known or known[place][:2] != stats[place]]
    try:
        with progress_bar(f"read {name}", len(unread)) as bar, ThreadPoolExecutor() as pool:
            for place, digest in zip(unread, pool.map(_read, map(Path, unread)), strict=True):
                new[place] = (*stats[place], digest)
                bar.advance()
    finally:  # what an interrupted run has read counts, too
        old = {place: entry for place, entry in new.items() if entry[1] < now - YOUNG}
        if old:
            known |= old
            _write(kept, {place: known[place] for place in stats if place in known})
    return [(new.get(place) or known[place])[2] for place in places]


@cache
def _known(kept: Path) -> Known:
    """What the file `kept` holds; nothing if it is absent or broken."""
    try:
        entries = json.loads(kept.read_text())
        return {place: (int(size), int(at), str(digest)) for place, (size, at, digest) in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(kept: Path, known: Known) -> None:
    with suppress(WorkError):  # it only saves time
        write_atomically(kept, json.dumps(known).encode())


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise file_error(path, error) from None
    return stat.st_size, stat.st_mtime_ns


def _read(path: Path) -> str:
    try:
        return read_sha256(path)
    except OSError as error:
        raise file_error(path, error) from None


def sha256_of_file(path: Path) -> str:
    """The hex sha256 of a file's bytes, worked out once a process while its size and time stay the same."""
    try:
        stat = path.stat()
        return _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise file_error(path, error) from None


def read_sha256(path: Path) -> str:
    """The hex sha256 of a file's bytes; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_error(path: Path, error: OSError) -> ConfigError:
    """What the user is told of a file or folder that cannot be read."""
    return ConfigError(f"{path} cannot be read: {error.strerror or one_line(error)}")


@cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return read_sha256(path)
