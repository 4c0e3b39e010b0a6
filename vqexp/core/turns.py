"""Which of many things to do next, where several processes do them: first those that no other is at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout


def in_turn(names: Sequence[str], folder: Path) -> Iterator[int]:
    """The index of each name, to be worked on before the next is asked for.

    Those that another process is at, by a lock in `folder`, come at the end, when it may be done with them.
    The system frees the lock of a process that dies. Without a folder to write to all come in order.
    """
    others = []
    for index, name in enumerate(names):
        lock = FileLock(folder / f"{name}.lock", timeout=0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            others.append(index)
            continue
        except OSError:
            yield index
            continue
        try:
            yield index
        finally:
            lock.release()
    yield from others
