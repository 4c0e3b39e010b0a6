"""Images and labels that are in memory already."""

from typing import Any

from vqexp.core.errors import MissingError
from vqexp.core.held import held
from vqexp.data.base import Dataset
from vqexp.data.split import Arrays, Split


class InMemory(Dataset):
    """Test images (N, C, H, W) in [0, 1] and labels (N,) kept by `vqexp.core.held` under `key`.

    There are no training images: asking for them raises `MissingError`.
    """

    def __init__(self, *, key: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.key = key

    def open(self, split: str) -> Split:
        if split != "test":
            raise MissingError(f"{self.name} are for testing; there are none to train on")
        pixels, labels = held(self.key)
        return Arrays(self.name, pixels, labels)
