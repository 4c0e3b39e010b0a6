"""Which of many things to do next, where several processes do them: first those that no other is at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from vqexp.core.lease import Lease
from vqexp.core.places import make_folder


def in_turn(names: Sequence[str], folder: Path) -> Iterator[int]:
    """The index of each name, to be worked on before the next is asked for.

    Those that another process is at, by a lease in `folder`, come at the end, when it may be done with them.
    Without a folder to write to all come in order.
    """
    others = []
    for index, name in enumerate(names):
        lease = Lease(folder / f"{name}.lock")
        try:
            make_folder(folder)
            held = lease.acquire(wait=False)
        except OSError:
            yield index
            continue
        if not held:
            others.append(index)
            continue
        try:
            yield index
        finally:
            lease.release()
    yield from others
