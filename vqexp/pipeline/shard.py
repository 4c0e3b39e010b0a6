"""A share of one run's images: `shard=2/4` is the second of four."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.core.errors import require


@dataclass(frozen=True)
class Shard:
    """The share `number`, from 1, of `count`: every count-th chunk."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str | None) -> "Shard | None":
        """The shard that `2/4` names; None for None. Raises `ConfigError` for any other text."""
        if text is None:
            return None
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        require(1 <= number <= count, f"shard is {text!r}; it must be I/N with 1 <= I <= N, such as 2/4")
        return cls(number, count)

    def rows(self, images: int, size: int) -> Tensor:
        """The positions, among so many images, of those in its chunks of `size`.

        Only the last of all chunks may be smaller, so a subset of them falls into the same chunks again.
        """
        rows = torch.arange(images)
        return rows[rows // size % self.count == self.number - 1]

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
