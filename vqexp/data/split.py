"""A split as it lies in storage: what a data set reads its images from."""

import hashlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from vqexp.data.images import Pixels


class Split(ABC):
    """One stored split. `name` says in an error which one is meant."""

    name: str

    @abstractmethod
    def check(self) -> None:
        """Find out cheaply whether this can be read; raises ConfigError."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hex sha256 over what determines the contents."""

    def where(self, row: int) -> str:
        """What an error calls row `row`."""
        return f"{self.name}, row {row}"

    @abstractmethod
    def labels(self) -> Tensor:
        """(N,) int64, all of them in storage order; raises ConfigError."""

    @abstractmethod
    def read(self, rows: Tensor) -> Pixels:
        """The images at `rows` (n,) int64, in that order; raises ConfigError."""


class Arrays(Split):
    """A split that is in memory: `pixels` (N, C, H, W), uint8 or float32 in [0, 1], and `labels` (N,)."""

    def __init__(self, name: str, pixels: Tensor, labels: Tensor) -> None:
        self.name, self._pixels, self._labels = name, pixels.contiguous(), labels.to(torch.int64)
        self.shape = tuple(pixels.shape[1:])

    def check(self) -> None:
        pass

    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self._pixels.dtype} {tuple(self._pixels.shape)}".encode())
        digest.update(self._pixels.numpy().data)
        digest.update(self._labels.numpy().data)
        return digest.hexdigest()

    def labels(self) -> Tensor:
        return self._labels

    def read(self, rows: Tensor) -> Tensor:
        return self._pixels[rows]
