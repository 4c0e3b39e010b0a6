"""How the C library keeps memory that was freed."""

import ctypes
from contextlib import suppress
from functools import cache

M_MMAP_THRESHOLD, LARGE = -3, 2**18


@cache
def give_back_large_blocks() -> None:
    """From now on the process gives blocks of 256 KiB and more back to the system when they are freed.

    By default glibc keeps them, and the heap grows to several times of what is in use. Does nothing with
    another C library.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
