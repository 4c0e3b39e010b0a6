"""How long work takes, by a few trials of it."""

import time
from collections.abc import Callable

import torch

TRIALS, MOST_TRIALS = 3, 20
SOME = 8  # images by which the cost of one is told from the cost of a call


def clock() -> float:
    """Seconds of the wall."""
    return time.perf_counter()


def effort() -> float:
    """Seconds that this process had of a processor: a busy machine leaves it more time."""
    return time.process_time()


def timer() -> Callable[[], float]:
    """Starts; returns what tells the seconds since: of the wall, at most those that this process worked."""
    start, busy = clock(), effort()

    def seconds() -> float:
        wall, worked = clock() - start, effort() - busy
        return min(wall, worked or wall)  # a coarse clock may say that it did not work at all

    return seconds


def seconds_an_image(work: Callable[[int], None], most: int, budget: float) -> float:
    """The least seconds an image of trials with as many at once, at most `most`, as keep to the budget.

    A CPU that takes longer than that for a single image is asked once.
    """
    one = _seconds(lambda: work(1))
    if one > budget and not torch.cuda.is_available():
        return one
    one, few = _seconds(lambda: work(1)), min(most, SOME)
    if few * one < budget:
        one = max(_seconds(lambda: work(few)) - one, 1e-9) / max(few - 1, 1)
    count = max(1, min(most, int(budget / (TRIALS * one))))
    start, best = clock(), _seconds(lambda: work(count))
    for _ in range(MOST_TRIALS - 1):  # others may be busy too
        if clock() - start + best > budget:
            break
        best = min(best, _seconds(lambda: work(count)))
    return best / count


def _seconds(work: Callable[[], None]) -> float:
    """What `work` takes: on a GPU by the wall, on a CPU without what others took of it."""
    start, worked = clock(), timer()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return clock() - start
    return worked()
