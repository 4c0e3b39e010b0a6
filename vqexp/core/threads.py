"""Work that lets go of the interpreter lock, on as many threads as torch uses."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

LEAST = 2**16  # numbers in all that other threads are woken for


@cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """A pool for each process, since threads do not outlive a fork."""
    return ThreadPoolExecutor(workers)


def over(count: int, numbers: int, work: Callable[[int], object]) -> None:
    """Calls `work(i)` for each i in range(count); a thread that is free takes the next.

    numbers: how many the work reads or writes in all; where they are few, no other thread is woken.
    """
    waiting = iter(range(count))

    def take(some: Iterable[int]) -> None:
        for i in some:
            work(i)

    others = min(torch.get_num_threads(), count) - 1 if numbers >= LEAST else 0
    futures = [_pool(others, os.getpid()).submit(take, waiting) for _ in range(others)]
    try:
        take(waiting)
    finally:
        for future in futures:
            future.result()
