"""What every data set offers: a check, a fingerprint, and images in an order fixed by a seed."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqexp.core.errors import ConfigError, one_of, require
from vqexp.data.images import Images
from vqexp.data.split import Split

SPLITS = ("train", "test")
NAME = re.compile(r"\w[\w.+ -]{0,99}")  # of a folder, in no other folder


class Dataset(ABC):
    """A labelled image data set with a train and a test split. A subclass says where a split is stored."""

    def __init__(
        self,
        *,
        name: str,
        shape: Sequence[int],
        num_classes: int,
        seed: int = 0,
        n: int | None = None,
        train_n: int | None = None,
    ) -> None:
        """Take the settings.

        Args:
            name: the data set's name, also that of its folder.
            shape: (C, H, W) of every image.
            num_classes: labels are 0..num_classes-1.
            seed: fixes the order in which images are taken.
            n: how many test images `test()` gives at most; None is all.
            train_n: how many training images `train()` gives at most; None is all.

        Raises ConfigError, naming the allowed range.
        """
        fits = isinstance(name, str) and NAME.fullmatch(name)
        allowed = "at most 100 letters, digits, blanks and any of . _ - +"
        require(fits, f"dataset.name is {name!r}; it must be {allowed}")
        self.name = name
        self.shape = _shape(name, shape)
        self.num_classes = whole(f"{name}'s num_classes", num_classes, 2)
        self.seed = whole(f"{name}'s seed", seed, 0)
        self.n = None if n is None else whole(f"{name}'s n", n, 1, "or null for all")
        self.train_n = None if train_n is None else whole(f"{name}'s train_n", train_n, 1, "or null for all")
        self._splits: dict[str, Split] = {}

    @abstractmethod
    def open(self, split: str) -> Split:
        """Find where "train" or "test" is stored, downloading it if asked to; raises ConfigError."""

    def check(self, splits: Sequence[str] = ("test",)) -> None:
        """Look, before work starts, at whether `splits` can be read: files, columns, labels and one image.

        What is to be downloaded is downloaded here. Raises ConfigError on bad input, WorkError when a
        download fails.
        """
        for split in splits:
            stored = self._split(split)
            stored.check()
            self.load(split, 1).pixels(slice(0, 1))  # what is wrong with one image is wrong with most

    def fingerprint(self, split: str) -> str:
        """A hex sha256 over what determines the contents of "train" or "test"."""
        return self._split(split).fingerprint()

    def load(self, split: str, n: int | None = None) -> Images:
        """The first `n` images of "train" or "test" in the order fixed by `seed`; all of them if None.

        A larger n only adds images at the end. Raises ConfigError, naming file and row, for a broken one.
        """
        labels, rows = self.order(split, n)
        return Images(self._split(split).read(rows), labels, rows)

    def order(self, split: str, n: int | None = None) -> tuple[Tensor, Tensor]:
        """(labels, ids) of what `load` gives, without reading an image."""
        labels = self._labels(self._split(split))
        rows = torch.from_numpy(np.random.default_rng(self.seed).permutation(len(labels))[:n])
        return labels[rows], rows

    def test(self) -> Images:
        """`load("test", n)`."""
        return self.load("test", self.n)

    def train(self) -> Images:
        """`load("train", train_n)`."""
        return self.load("train", self.train_n)

    def _split(self, split: str) -> Split:
        one_of("the split", split, SPLITS)
        if split not in self._splits:
            self._splits[split] = self.open(split)
        return self._splits[split]

    def _labels(self, stored: Split) -> Tensor:
        labels = stored.labels()
        require(len(labels) > 0, f"{stored.name} has no rows")
        for row in ((labels < 0) | (labels >= self.num_classes)).nonzero().flatten().tolist():
            allowed = f"0..{self.num_classes - 1}"
            raise ConfigError(f"{stored.where(row)}: the label is {labels[row]}; it must be in {allowed}")
        return labels


def undeclared(name: str, shape: Sequence[int], labels: Tensor) -> ConfigError:
    """What a data set says whose `shape` or `num_classes` is not set: those of its test images."""
    sizes, highest = ",".join(map(str, shape)), int(labels.max())
    return ConfigError(
        f"{name} has images of shape {tuple(shape)} and labels {int(labels.min())} to {highest}; "
        f"set 'dataset.shape=[{sizes}]' dataset.num_classes={max(highest + 1, 2)}"
    )


def whole(what: str, value: Any, least: int, otherwise: str = "") -> int:
    """`value` as an int of at least `least`."""
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(valid, f"{what} is {value!r}; it must be a whole number of at least {least} {otherwise}".rstrip())
    return int(value)


def _shape(name: str, shape: Any) -> tuple[int, int, int]:
    message = (
        f"{name}'s shape is {shape}; it must be three whole numbers of at least 1: channels, height, width"
    )
    require(isinstance(shape, Sequence) and not isinstance(shape, str) and len(shape) == 3, message)
    require(all(type(size) is int and size >= 1 for size in shape), message)
    return (shape[0], shape[1], shape[2])
