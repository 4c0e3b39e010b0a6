"""A map-style `torch.utils.data.Dataset` of the user's own, or of a library."""

import inspect
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchData

from vqexp.core.errors import ConfigError, MissingError, one_line, require
from vqexp.core.inputs import SLACK
from vqexp.core.progress import progress_bar
from vqexp.data.base import Dataset, undeclared
from vqexp.data.decode import MODES
from vqexp.data.split import Arrays

MOST_BYTES = 4 * 2**30  # of images in memory
EIGHT_BITS = ("1", "L", "P", "RGB", "CMYK", "YCbCr")  # Pillow's modes

_read: dict[tuple[Any, ...], Arrays] = {}  # what this process has read: the last split


class Rows(Protocol):
    """What is a map-style dataset without being a `torch.utils.data.Dataset`."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class TorchDataset(Dataset):
    """The images (C, H, W) and labels of a torch dataset, read once, into memory; an image's id is its index.

    source: what makes the dataset. If it takes `train`, it is called with true and false for the two splits;
    if it takes `split`, with "train" and "test". Otherwise all its images are test images. An item is a pair
    of an image, a Pillow one or a tensor of uint8 or of floats in [0, 1], and a label.

    Raises `ConfigError` for anything else, for images that change from call to call or take more than 4 GiB,
    and, with what the dataset has, where `shape` or `num_classes` is not set; `MissingError` for training
    images where there are none.
    """

    PARTIAL = ("source",)

    def __init__(
        self,
        *,
        source: Callable[..., TorchData[Any] | Rows],
        shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        **settings: Any,
    ) -> None:
        self._source = source if isinstance(source, partial) else partial(source)
        self._shape = None if shape is None else tuple(shape)
        if shape is None or num_classes is None:
            found = self.open("test")
            raise undeclared(found.name, found.shape, found.labels())
        super().__init__(shape=shape, num_classes=num_classes, **settings)

    def open(self, split: str) -> Arrays:
        target = f"{self._source.func.__module__}.{self._source.func.__qualname__}"
        key = (self._source.func, _as_json(self._source.keywords), split, self._shape)
        if None not in key[:2] and key in _read:
            return _read[key]
        made = self._made(split, target)
        require(
            hasattr(made, "__getitem__") and hasattr(made, "__len__"),
            f"dataset._target_={target} is no map-style dataset, with a length and items by number",
        )
        arrays = _all(made, f"{target} ({split})", self._shape)
        _read.clear()
        _read[key] = arrays
        return arrays

    def _made(self, split: str, target: str) -> Any:
        """The torch dataset of a split."""
        free = set(inspect.signature(self._source.func).parameters) - set(self._source.keywords)
        chosen = (
            {"train": split == "train"} if "train" in free else {"split": split} if "split" in free else {}
        )
        if not chosen and split != "test":
            raise MissingError(
                f"dataset._target_={target} takes neither train nor split, so its images are for testing; "
                "there are none to train on"
            )
        try:
            return self._source(**chosen)
        except Exception as error:  # whatever the user's code raises
            told = f"{type(error).__name__}: {one_line(error)}"
            raise ConfigError(f"dataset._target_={target} cannot be built: {told}") from error


def _all(made: Any, name: str, shape: tuple[int, ...] | None) -> Arrays:
    """All items of a torch dataset."""
    require(len(made) > 0, f"{name} is empty")
    first, again = (_item(made, name, 0, shape)[0] for _ in range(2))
    require(
        first.equal(again),
        f"{name} gives another image each time it is asked for row 0; leave random transforms out",
    )
    require(len(made) * first.nbytes <= MOST_BYTES, f"{name} takes more than 4 GiB; give a part of it")
    pixels = torch.empty((len(made), *first.shape), dtype=first.dtype)
    labels = torch.empty(len(made), dtype=torch.int64)
    with progress_bar(f"read {name}", len(made)) as bar:
        for row in range(len(made)):
            image, labels[row] = _item(made, name, row, tuple(first.shape))
            require(image.dtype == first.dtype, f"{name}, row {row}: {image.dtype}; row 0 is {first.dtype}")
            pixels[row] = image
            bar.advance()
    return Arrays(name, pixels, labels)


def _item(made: Any, name: str, row: int, shape: tuple[int, ...] | None) -> tuple[Tensor, int]:
    """Image, uint8 or float32, and label."""
    where = f"{name}, row {row}"
    try:
        item = made[row]
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{where}: {type(error).__name__}: {one_line(error)}") from error
    pair = isinstance(item, tuple | list) and len(item) == 2
    require(pair, f"{where} is a {type(item).__name__}; it must be (image, label)")
    image, label = _pixels(item[0], where, shape), item[1]
    try:
        fits = int(label) == label
    except (TypeError, ValueError):
        fits = False
    require(fits, f"{where}: the label is {label!r}; it must be a whole number")
    return image, int(label)


def _pixels(image: Any, where: str, shape: tuple[int, ...] | None) -> Tensor:
    """(C, H, W), uint8 or float32 in [0, 1]."""
    if isinstance(image, Image.Image):
        require(image.mode in EIGHT_BITS, f"{where}: Pillow's mode {image.mode} is not of 8 bits")
        channels = shape[0] if shape else len(image.getbands())
        values = np.atleast_3d(np.array(image.convert(MODES.get(channels, "RGB"))))
        image = torch.from_numpy(values).permute(2, 0, 1)
    kind = type(image).__name__
    require(isinstance(image, Tensor), f"{where}: a {kind}; it must be a tensor or a Pillow image")
    found = tuple(image.shape)
    require(len(found) == 3, f"{where}: an image of shape {found}; it must be (C, H, W)")
    require(shape in (None, found), f"{where}: an image of shape {found}; it must be {shape}")
    if image.dtype == torch.uint8:
        return image
    low, high = (float(bound) for bound in image.aminmax())
    fits = image.is_floating_point() and -SLACK <= low <= high <= 1 + SLACK
    found_values = f"{str(image.dtype).removeprefix('torch.')} from {low:.4g} to {high:.4g}"
    setting = "a normalization is a setting: classifier.mean, classifier.std"
    require(fits, f"{where}: {found_values}; it must be uint8 or floats in [0, 1] ({setting})")
    return image.float().clamp(0, 1)


def _as_json(keywords: dict[str, Any]) -> str | None:
    """Settings that JSON can tell apart; None for others, such as transforms."""
    try:
        return json.dumps(keywords, sort_keys=True)
    except TypeError:
        return None
