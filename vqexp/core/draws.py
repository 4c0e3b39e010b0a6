"""Randomness as a function of (seed, purpose, image id, draw number), and of nothing else.

So a result does not change with batch size, order, sharding or the number of workers, and an attack
never sees the draws of an evaluation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vqexp.core.errors import one_of
from vqexp.core.philox import CounterStreams
from vqexp.core.threads import over

# Each purpose has streams of its own. Its number never changes: published results rest on it. `call` serves
# modules that are called without a draw, by libraries that know nothing of it; `rank` compares an attack's
# candidates, `select` compares attacks; `guess` names a certificate's class, `certify` estimates.
PURPOSES = {
    "call": 0,
    "train": 1,
    "attack": 2,
    "select": 3,
    "report": 4,
    "rank": 5,
    "guess": 6,
    "certify": 7,
}


@dataclass(frozen=True)
class Draw:
    """Which draw of a defense's randomness to use for a batch of N images.

    purpose: one of `PURPOSES`; streams of different purposes never meet.
    number: the draw, an int >= 0 for the whole batch or an int64 tensor (N,), one an image.
    ids: int64 tensor (N,), the images' rows in their dataset; None takes their positions in the batch.
    place: which of a model's random modules it is for, >= 0, so that no two share their numbers.
    mean: no draw at all but the mean of what is random: noise is zero, weights are at their mean.
    """

    purpose: str = "call"
    number: int | Tensor = 0
    ids: Tensor | None = None
    place: int = 0
    mean: bool = False

    def __post_init__(self) -> None:
        one_of("purpose", self.purpose, PURPOSES)

    def __getitem__(self, rows: slice | Tensor) -> "Draw":
        """The draw of some rows of the batch; positions must have been made ids first (`resolve`)."""
        number = self.number[rows] if isinstance(self.number, Tensor) else self.number
        return replace(self, number=number, ids=None if self.ids is None else self.ids[rows])

    def resolve(self, n: int) -> "Draw":
        """The same draw with explicit ids for a batch of `n` images."""
        return self if self.ids is not None else replace(self, ids=torch.arange(n))

    def keys(self) -> list[tuple[int, int]]:
        """(id, number) of each image; needs ids."""
        assert self.ids is not None
        ids = self.ids.tolist()
        numbers = self.number.tolist() if isinstance(self.number, Tensor) else [self.number] * len(ids)
        return list(zip(ids, numbers, strict=True))


def repeated(purpose: str, numbers: Tensor, ids: Tensor, *, known: bool = False) -> Draw:
    """The draws `numbers` (R,) of N images with `ids` (N,), as one batch of R N, draw by draw.

    known: an adversary knows the draws, and they are those of `report`, the same for every image.
    """
    ids = torch.zeros_like(ids) if known else ids
    purpose = "report" if known else purpose
    return Draw(purpose, numbers.repeat_interleave(len(ids)), ids.repeat(len(numbers)))


class Philox:
    """A generator of numpy's Philox that can start another stream.

    That takes a fifth of the time of making one, which can be more than the numbers of a stream take.
    """

    IDLE: ClassVar[list["Philox"]] = []  # those that nobody reads any more

    def __init__(self) -> None:
        self._bits = np.random.Philox(key=0)  # else it would ask the system for a seed
        self._state: Any = self._bits.state
        self._state["buffer_pos"] = 4  # nothing is left in the buffer
        self._key, self._counter = self._state["state"]["key"], self._state["state"]["counter"]
        self.generator = np.random.Generator(self._bits)

    @property
    def position(self) -> Any:
        """Where the stream is; it can be set to where it once was."""
        return self._bits.state

    @position.setter
    def position(self, value: Any) -> None:
        self._bits.state = value

    @classmethod
    def at(cls, key: tuple[int, int], counter: tuple[int, int, int, int]) -> "Philox":
        """One at the start of the stream `Philox(key=key, counter=counter)`."""
        found = cls.IDLE.pop() if cls.IDLE else cls()
        # item by item, which is faster than a slice
        found._key[0], found._key[1] = key
        found._counter[0], found._counter[1], found._counter[2], found._counter[3] = counter
        found._bits.state = found._state
        return found


class Streams:
    """One stream an image, read in the order of the calls: `normal`, `uniform`, `subset`.

    On the CPU numpy's Philox, keyed by (seed, id) with the place, the draw and the purpose in the counter's
    high words; elsewhere `CounterStreams` of the same five numbers. The two differ.
    """

    def __init__(self, seed: int, draw: Draw, device: torch.device) -> None:
        purpose, place = PURPOSES[draw.purpose], draw.place
        self._numpy: list[Philox] = []
        self.counted: CounterStreams | None = None
        if device.type == "cpu":
            keys = draw.keys()
            self._numpy += [Philox.at((seed, one), (0, place, number, purpose)) for one, number in keys]
        else:
            assert draw.ids is not None
            self.counted = CounterStreams(seed, purpose, place, draw.ids, draw.number, device)

    def __del__(self) -> None:
        Philox.IDLE.extend(getattr(self, "_numpy", ()))

    def normal(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Standard normal numbers, (N, *shape): the same for every dtype, as far as it can hold them."""
        if self.counted:
            return self.counted.normal(shape).to(dtype)
        return self._fill(
            shape, np.float32, lambda generator, row: generator.standard_normal(dtype=np.float32, out=row)
        ).to(dtype)

    def uniform(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Numbers uniform on [0, 1), (N, *shape)."""
        if self.counted:
            return self.counted.uniform(shape, dtype)
        wide: Any = np.float64 if dtype == torch.float64 else np.float32
        return self._fill(shape, wide, lambda generator, row: generator.random(dtype=wide, out=row)).to(dtype)

    def subset(self, n: int, k: int) -> Tensor:
        """k different numbers out of range(n) for each image, (N, k) int64."""
        if self.counted:
            return self.counted.subset(n, k)
        rows = [each.generator.choice(n, k, replace=False, shuffle=False) for each in self._numpy]
        return torch.from_numpy(np.array(rows, np.int64).reshape(-1, k))

    def position(self) -> Any:
        """Where the streams are, for `go_to`."""
        return self.counted.block if self.counted else [each.position for each in self._numpy]

    def go_to(self, position: Any) -> None:
        """Go on from where the streams once were."""
        if self.counted:
            self.counted.block = position
        for each, place in zip(self._numpy, position if self._numpy else (), strict=True):
            each.position = place

    def _fill(
        self, shape: Sequence[int], dtype: Any, fill: Callable[[np.random.Generator, np.ndarray], Any]
    ) -> Tensor:
        out = np.empty((len(self._numpy), *shape), dtype)
        over(len(out), out.size, lambda i: fill(self._numpy[i].generator, out[i]))
        return torch.from_numpy(out)
