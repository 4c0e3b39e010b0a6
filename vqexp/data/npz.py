"""A data set in one NumPy archive, as `numpy.savez` writes it."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqexp.core.errors import ConfigError, MissingError, one_line, require
from vqexp.core.files import file_error
from vqexp.core.inputs import SLACK
from vqexp.data.base import SPLITS, Dataset, undeclared
from vqexp.data.split import Arrays

# names that archives use; those of a split come before those of an archive that holds one split
NAMES = {
    "images": ("images", "image", "x", "X", "data"),
    "labels": ("labels", "label", "y", "Y", "targets"),
}
OF_SPLIT = ("{name}_{split}", "{split}_{name}")
ROLES = tuple(f"{split}_{role}" for split in SPLITS for role in NAMES)


class Npz(Dataset):
    """Images and labels of the archive `path`.

    arrays: names of its arrays, `test_images`, `test_labels`, `train_images` and `train_labels`; one that is
    not named is found where its name leaves no doubt: `x_test` or `test_images` and so on, else `images` or
    `x` for the test images of an archive that holds no split. Images are (N, H, W), (N, H, W, C) or
    (N, C, H, W), uint8 or floats in [0, 1]; labels (N,) or (N, 1), integers.

    Raises `ConfigError` for anything else, and, with what the archive has, where `shape` or `num_classes` is
    not set; `MissingError` for training images where there are none.
    """

    def __init__(
        self,
        *,
        path: str,
        arrays: Mapping[str, str | None] | None = None,
        shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        **settings: Any,
    ) -> None:
        self.path, self.arrays, self._wanted = Path(path).expanduser(), dict(arrays or {}), shape
        unknown = ", ".join(sorted(set(self.arrays) - set(ROLES)))
        require(not unknown, f"dataset.arrays has no {unknown}; there are {', '.join(ROLES)}")
        if shape is None or num_classes is None:
            found = self.open("test")
            raise undeclared(found.name, found.shape, found.labels())
        super().__init__(shape=shape, num_classes=num_classes, **settings)

    def open(self, split: str) -> Arrays:
        try:
            with open(self.path, "rb") as file:
                require(zipfile.is_zipfile(file), f"{self.path} is no .npz archive")
            with np.load(self.path, allow_pickle=False) as archive:
                names = [self._name(split, role, archive.files) for role in NAMES]
                images, labels = (archive[name] for name in names)
        except OSError as error:
            raise file_error(self.path, error) from None
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{self.path} cannot be read: {one_line(error)}") from None
        pixels = self._pixels(images, f"{self.path}, {names[0]}")
        whole = np.issubdtype(labels.dtype, np.integer) and labels.size == len(labels) == len(images)
        found = f"{labels.dtype} {labels.shape} for {len(images)} images"
        require(whole, f"{self.path}, {names[1]}: {found}; it must be one integer an image")
        return Arrays(f"{self.path} ({split})", pixels, torch.from_numpy(labels.reshape(-1).astype(np.int64)))

    def _name(self, split: str, role: str, files: Sequence[str]) -> str:
        """The name of an array of a split."""
        setting, has = f"{split}_{role}", f"it has {', '.join(files)}"
        if (named := self.arrays.get(setting)) is not None:
            require(
                named in files, f"{self.path} has no {named}, which dataset.arrays.{setting} names; {has}"
            )
            return named
        of_split = {form.format(name=name, split=split) for name in NAMES[role] for form in OF_SPLIT}
        found = [name for name in files if name in of_split]
        if not found and split == "test":
            found = [name for name in files if name in NAMES[role]]
        if not found and split == "train":
            raise MissingError(
                f"{self.path} has no {role} to train on; set dataset.arrays.{setting}=NAME; {has}"
            )
        require(found, f"{self.path} has no {split} {role}; set dataset.arrays.{setting}=NAME; {has}")
        both = " and ".join(found)
        require(len(found) == 1, f"{self.path} has {both}; set dataset.arrays.{setting} to one of them")
        return found[0]

    def _pixels(self, images: np.ndarray, name: str) -> Tensor:
        """(N, C, H, W), uint8 or float32 in [0, 1]."""
        if images.ndim == 3:
            images = images[:, None]
        require(
            images.ndim == 4 and images.size, f"{name} is of shape {images.shape}; it must be (N, H, W, C)"
        )
        shape, first = None if self._wanted is None else tuple(self._wanted), tuple(images.shape[1:])
        last = (first[2], *first[:2])  # if the channels come last
        likely = [each for each in (first, last) if (each == shape if shape else each[0] in (1, 3))]
        size = f"{name} has images of shape {first}"
        require(likely, f"{size}; the data set declares {shape}" if shape else f"{size}; set dataset.shape")
        certain = len(likely) == 1 or first == last
        require(certain, f"{size}, with channels first or last; set dataset.shape=[C,H,W]")
        if likely[0] != first:
            images = images.transpose(0, 3, 1, 2)
        if images.dtype != np.uint8:
            low, high = float(images.min()), float(images.max())
            scaled = np.issubdtype(images.dtype, np.floating) and -SLACK <= low <= high <= 1 + SLACK
            found = f"{images.dtype} from {low:.4g} to {high:.4g}"
            require(scaled, f"{name} is {found}; it must be uint8 or floats in [0, 1]")
            images = images.astype(np.float32).clip(0, 1)
        return torch.from_numpy(np.ascontiguousarray(images))
