"""Encoded images (PNG, JPEG, WebP, ...) that become pixels when indexed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vqexp.core.errors import ConfigError, one_line, require
from vqexp.core.threads import over
from vqexp.data.decode import decode

# Up to this many pixels a side images are decoded once; larger ones each time they are asked for.
DECODE_ONCE = 96

INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Form:
    """What every image of a data set is brought to.

    shape: (C, H, W) in the end; grey if C is 1, RGB if it is 3.
    resize: the shorter side is first brought to this many pixels (antialiased); None: as it is.
    crop: then the central square of this many pixels is kept; None: all of it.
    interpolation: of the resize, one of `INTERPOLATIONS`.
    """

    shape: tuple[int, int, int]
    resize: int | None = None
    crop: int | None = None
    interpolation: str = "bilinear"

    def apply(self, image: Image.Image) -> Image.Image:
        """`image` as torchvision's `resize` and `center_crop` make it; its new size is not checked."""
        if self.resize is not None:
            shorter = min(image.size)
            width, height = (self.resize * side // shorter for side in image.size)
            image = image.resize((width, height), INTERPOLATIONS[self.interpolation])
        if self.crop is not None and min(image.size) >= self.crop:  # a smaller one would be padded
            left, top = (round((side - self.crop) / 2) for side in image.size)
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image


class Encoded:
    """N encoded images; indexing by an int64 tensor (n,) gives (n, C, H, W).

    uint8 if each of these n has 8 bits a channel; else float32 in [0, 1], whatever each has.
    """

    def __init__(self, blobs: Sequence[bytes | Path | None], names: Sequence[str], form: Form) -> None:
        """`blobs` are file contents or paths; `names` say in an error which image is meant."""
        self._blobs, self._names, self._form = blobs, names, form
        self.shape = (len(blobs), *form.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Decode on as many threads as torch uses (Pillow lets go of the interpreter lock).

        Raises ConfigError, naming the image, for what `decode` refuses and for a size not declared.
        """
        _, channels, height, width = self.shape
        positions = rows.tolist()
        pixels: np.ndarray = np.empty((len(positions), height, width, channels), np.uint8)
        deep: dict[int, np.ndarray] = {}

        def decode_one(at: int) -> None:
            image = self._decode(positions[at])
            if image.dtype == np.uint8:
                pixels[at] = image
            else:
                deep[at] = image

        over(len(positions), pixels.size, decode_one)
        if deep:
            pixels = pixels.astype(np.float32) / 255
            for at, image in deep.items():
                pixels[at] = image
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def settled(self) -> Union[Tensor, "Encoded"]:
        """Small images as pixels, decoded now, once and for all; large ones as they are."""
        return self[torch.arange(len(self))] if max(self._form.shape[1:]) <= DECODE_ONCE else self

    def _decode(self, row: int) -> np.ndarray:
        """(H, W, C), uint8 or float32 in [0, 1]."""
        _, channels, height, width = self.shape
        blob, name = self._blobs[row], self._names[row]
        if not blob:
            raise ConfigError(f"{name}: the image has no bytes")
        try:
            planes = [self._form.apply(plane) for plane in decode(blob, channels)]
        except ConfigError as refused:
            raise ConfigError(f"{name}: the image {refused}") from None
        except Exception as error:  # Pillow's plugins raise nearly anything on broken bytes
            reason = "of no known format" if isinstance(error, UnidentifiedImageError) else one_line(error)
            raise ConfigError(f"{name}: the image cannot be decoded: {reason}") from None
        size = planes[0].size
        require(
            size == (width, height),
            f"{name}: the image has {size[0]} x {size[1]} pixels (width x height) "
            f"where the data set declares {width} x {height}",
        )
        pixels = np.dstack([np.asarray(plane) for plane in planes])
        return pixels if pixels.dtype == np.uint8 else pixels.clip(0, 1)  # a resize rounds
