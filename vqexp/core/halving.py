"""Batches that are halved where memory runs out, and the work goes on."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from vqexp.core.errors import WorkError

Result = TypeVar("Result")
LOWER = "lower attack.batch_size or defense.memory_limit"


def out_of_memory(error: BaseException) -> bool:
    """Whether the GPU's or this machine's memory was too small, as torch, numpy or Python say it."""
    told = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    return told or isinstance(error, MemoryError | torch.OutOfMemoryError)


class Halving:
    """at_once: by stage, how many rows of a batch fitted at last, where memory had run out."""

    def __init__(self) -> None:
        self.at_once: dict[str, int] = {}

    def over(
        self,
        stage: str,
        count: int,
        work: Callable[[slice], Result],
        join: Callable[[list[Result]], Result],
        depends: Callable[[], Sequence[str]] = tuple,
    ) -> Result:
        """Returns `work` on all of `count` rows, or what `join` makes of it on as many at a time as fit.

        depends: says, if memory runs out, what makes the result depend on which rows share a batch, which is
        then not halved. Raises `WorkError` if memory runs out all the same.
        """
        while True:
            size = min(self.at_once.get(stage, count), count)
            try:
                parts = [work(slice(i, min(i + size, count))) for i in range(0, count, size)]
                return parts[0] if len(parts) == 1 else join(parts)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                reasons = ", ".join(depends())
                if reasons or size == 1:
                    why = f"; it is not halved, because of {reasons}" if reasons else ""
                    raise WorkError(f"out of memory in a batch of {size}{why}; {LOWER}") from error
            self.at_once[stage] = (size + 1) // 2
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
