"""From an image file to pixels at their true scale: all bits are kept, what is ambiguous is refused."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from vqexp.core.errors import ConfigError, require

MODES = {1: "L", 3: "RGB"}
ACCEPTED = "accepted are 8 bits, 16-bit grey, 16-bit colour in PNG and floats in [0, 1]"

# The formats whose 16-bit grey Pillow gives at a known scale.
SIXTEEN_BITS = ("JPEG2000", "PNG", "PPM", "TIFF")

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601-2, as in Pillow's conversion to "L"


def decode(source: bytes | Path, channels: int) -> list[Image.Image]:
    """The image in `source`, a file's contents or its path, in grey (`channels` 1) or RGB (3).

    Returns one image of mode "L" or "RGB" where the file has 8 bits or fewer a channel; else `channels`
    images of mode "F" in [0, 1]. Palettes, CMYK and YCbCr become RGB as Pillow has it. As in torchvision,
    EXIF's orientation and colour profiles are ignored. Of the several pictures that a camera may put in one
    JPEG (MPO) the first is taken.

    Raises ConfigError with a predicate ("has 2 frames; ...") for frames, transparent pixels and scales that
    are not known, and whatever Pillow raises for broken bytes.
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        frames = getattr(image, "n_frames", 1)
        require(frames == 1 or image.format == "MPO", f"has {frames} frames; it must have one")
        values = _deep_colour(image, source)
        if values is None:
            values = _deep_grey(image)
        if values is not None:
            return [Image.fromarray(plane) for plane in _planes(values, channels)]
        if image.has_transparency_data:
            _check_opaque(image.convert("RGBA").getchannel("A").getextrema()[0] == 255)
        return [image.convert(MODES[channels])]


def _deep_colour(image: Image.Image, source: bytes | Path) -> np.ndarray | None:
    """(H, W, 1 or 3) float32 in [0, 1] of 16-bit colour, half of which Pillow would drop; None if not."""
    if image.format != "PNG" or image.mode not in ("LA", "RGB", "RGBA"):
        return None
    if not any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        return None
    from torchvision.io import decode_image  # slow to import

    _check_opaque("transparency" not in image.info)
    data = source if isinstance(source, bytes) else source.read_bytes()
    values = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8)).permute(1, 2, 0).numpy()
    if values.shape[2] in (2, 4):
        _check_opaque(values[:, :, -1].min() == 65535)
        values = values[:, :, :-1]
    return values.astype(np.float32) / 65535


def _deep_grey(image: Image.Image) -> np.ndarray | None:
    """(H, W, 1) float32 in [0, 1] of a grey image of more than 8 bits, None if it is none."""
    bits = 16
    if isinstance(image, TiffImageFile):
        bits = max(image.tag_v2.get(BITSPERSAMPLE, (1,)))
        signed = 2 in image.tag_v2.get(SAMPLEFORMAT, (1,))
        require(not signed, f"holds signed integers, whose scale is unknown; {ACCEPTED}")
        require(bits <= 8 or image.mode[0] in "IF", f"has {bits} bits a channel of colour; {ACCEPTED}")
        # Pillow turns this round for 8 bits alone
        inverted = bits > 8 and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
        require(not inverted, f"has {bits} bits, 0 being white; black must be 0")
    if image.mode == "F":
        values = np.asarray(image)
        low, high = values.min(), values.max()  # NaN if there is one
        require(low >= 0 and high <= 1, f"holds floats from {low:g} to {high:g}; they must be in [0, 1]")
    elif image.mode[0] == "I":
        known = image.format in SIXTEEN_BITS and (image.mode != "I" or image.format != "TIFF")
        require(known, f"holds integers (Pillow's mode {image.mode}) whose scale is unknown; {ACCEPTED}")
        values = np.asarray(image).astype(np.float32) / (2**bits - 1)
    else:
        return None
    _check_opaque("transparency" not in image.info)
    return values[:, :, None]


def _planes(values: np.ndarray, channels: int) -> list[np.ndarray]:
    """`values` (H, W, 1 or 3) as `channels` arrays (H, W)."""
    if channels == 1 and values.shape[2] == 3:
        return [values @ GREY]
    return [np.ascontiguousarray(values[:, :, at % values.shape[2]]) for at in range(channels)]


def _check_opaque(opaque: bool) -> None:
    if not opaque:  # what lies behind is not in the file
        raise ConfigError("has transparent pixels; all must be opaque")
