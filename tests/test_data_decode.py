"""Encoded images: each is read at its true scale or refused by name, never silently white or black."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from vqexp.core.errors import ConfigError
from vqexp.data.encoded import Encoded, Form

RAMP = np.uint16([[0, 13107, 32768], [32769, 52428, 65535]])
COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's colour types by channels


def read(*blobs: bytes, channels: int = 1, size: tuple[int, int] = (2, 3), **form: Any) -> torch.Tensor:
    """The images (n, C, H, W) as the data set has them."""
    names = [f"image {at}" for at in range(len(blobs))]
    return Encoded(blobs, names, Form((channels, *size), **form))[torch.arange(len(blobs))]


def refused(blob: bytes, channels: int = 1) -> str:
    with pytest.raises(ConfigError) as caught:
        read(blob, channels=channels)
    message = str(caught.value)
    assert message.startswith("image 0: the image ")
    assert "\n" not in message
    return message


def saved(pixels: Any, format: str = "PNG", **settings: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def png16(pixels: np.ndarray, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, (H, W, C) uint16, as Pillow cannot write it."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOURS[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    if transparent:
        chunks.insert(1, (b"tRNS", transparent))
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(pixels: bytes, bits: int, photometric: int = 1, signed: bool = False, channels: int = 1) -> bytes:
    """A TIFF of 3 x 2 pixels (width x height) with the tags that Pillow does not write."""
    tags = ImageFileDirectory_v2()
    tags[256], tags[257], tags[277], tags[278] = 3, 2, channels, 2
    tags[258], tags[339] = (bits,) * channels, (2 if signed else 1,) * channels
    tags[262], tags[273], tags[279] = photometric, 0, len(pixels)
    buffer = io.BytesIO()
    tags.save(buffer)
    return buffer.getvalue() + pixels


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG2000"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_grey_keeps_its_scale_and_all_its_bits(format: str, channels: int) -> None:
    pixels = read(saved(RAMP, format), channels=channels)
    assert pixels.dtype == torch.float32
    expected = torch.from_numpy(RAMP.astype(np.float64) / 65535).float()
    assert torch.equal(pixels, expected.expand(1, channels, 2, 3))


def test_big_endian_tiff_and_pgm_are_at_their_scale() -> None:
    big = Image.fromarray(RAMP.astype(">u2"))
    assert big.mode == "I;16B"
    expected = torch.from_numpy(RAMP / 65535).float()
    assert torch.equal(read(saved(big, "TIFF"))[0, 0], expected)
    pgm = b"P5 3 2 65535\n" + RAMP.astype(">u2").tobytes()
    assert torch.equal(read(pgm)[0, 0], expected)


def test_twelve_bits_in_a_tiff_are_at_their_scale() -> None:
    # two pixels of 12 bits in three bytes, lines padded to whole bytes
    values = [[0, 2048, 4095], [1, 2, 3]]
    packed = b"".join(
        int("".join(f"{value:012b}" for value in line) + "0000", 2).to_bytes(5, "big") for line in values
    )
    assert torch.allclose(read(tiff(packed, 12))[0, 0], torch.tensor(values) / 4095)


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_in_png_keeps_all_its_bits(channels: int) -> None:
    pixels = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1], np.full_like(RAMP, 65535)], axis=2)[..., :channels]
    expected = torch.from_numpy(pixels[..., :3] / 65535).float().permute(2, 0, 1)
    assert torch.equal(read(png16(pixels), channels=3)[0], expected)
    grey = (expected * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert torch.allclose(read(png16(pixels))[0, 0], grey)
    pillow = np.asarray(Image.open(io.BytesIO(png16(pixels))).convert("L"))
    assert np.allclose(pillow / 255, grey, atol=0.01)


def test_sixteen_bit_grey_with_alpha_is_grey_where_it_is_opaque() -> None:
    pixels = np.stack([RAMP, np.full_like(RAMP, 65535)], axis=2)
    assert torch.equal(read(png16(pixels)), read(saved(RAMP)))
    pixels[1, 2, 1] = 65534
    assert "transparent" in refused(png16(pixels))


def test_sixteen_bit_colour_in_tiff_is_refused() -> None:
    message = refused(tiff(bytes(36), 16, photometric=2, channels=3), channels=3)
    assert "has 16 bits a channel of colour; accepted are 8 bits, 16-bit grey" in message


def test_floats_in_0_1_are_taken_as_they_are() -> None:
    floats = np.float32([[0, 0.25, 0.5], [0.001, 0.75, 1]])
    assert torch.equal(read(saved(floats, "TIFF"))[0, 0], torch.from_numpy(floats))
    assert "holds floats from 0 to 255; they must be in [0, 1]" in refused(saved(floats * 255, "TIFF"))
    assert "holds floats from -0.5 to 0.5" in refused(saved(floats - 0.5, "TIFF"))
    assert "holds floats from nan to nan" in refused(saved(np.where(floats == 1, np.nan, floats), "TIFF"))


def test_integers_of_unknown_scale_are_refused() -> None:
    assert "mode I) whose scale is unknown; accepted are 8 bits" in refused(tiff(bytes(24), 32))
    for bits in (8, 16, 32):
        assert "holds signed integers" in refused(tiff(bytes(6 * bits // 8), bits, signed=True))
    assert "whose scale is unknown" in refused(saved(RAMP.astype(np.int32), "TIFF"))
    assert "16 bits, 0 being white" in refused(tiff(RAMP.tobytes(), 16, photometric=0))


def test_few_bits_are_at_their_scale() -> None:
    black_white = np.array([[True, False, True], [False, True, False]])
    assert torch.equal(read(saved(black_white))[0, 0], torch.from_numpy(black_white).to(torch.uint8) * 255)
    inverted = tiff(bytes([0, 128, 255, 1, 2, 3]), 8, photometric=0)
    assert read(inverted).flatten().tolist() == [255, 127, 0, 254, 253, 252]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_refused_unless_opaque(mode: str) -> None:
    image = Image.fromarray(np.uint8([[10, 20, 30], [40, 50, 60]])).convert(mode)
    assert read(saved(image)).flatten().tolist() == [10, 20, 30, 40, 50, 60]
    image.putpixel((1, 1), (*image.getpixel((1, 1))[:-1], 254))  # type: ignore[index]
    assert "has transparent pixels; all must be opaque" in refused(saved(image))


def test_transparency_without_an_alpha_channel_is_refused_where_it_shows() -> None:
    image = Image.fromarray(np.uint8([[10, 20, 30], [40, 50, 60]]))
    assert "transparent" in refused(saved(image, transparency=50))
    assert read(saved(image, transparency=51)).flatten().tolist() == [10, 20, 30, 40, 50, 60]
    palette = image.convert("RGB").quantize(6)
    assert "transparent" in refused(saved(palette, transparency=0), channels=3)
    assert torch.equal(read(saved(palette), channels=3), read(saved(palette.convert("RGB")), channels=3))
    assert "transparent" in refused(png16(RAMP[..., None], transparent=struct.pack(">H", 32768)))
    colour = np.stack([RAMP, RAMP, RAMP], axis=2)
    assert "transparent" in refused(png16(colour, transparent=struct.pack(">3H", 0, 0, 0)))


def test_cmyk_becomes_rgb_as_pillow_has_it() -> None:
    image = Image.new("CMYK", (3, 2), (10, 200, 30, 40))
    pixels = read(saved(image, "TIFF"), channels=3)
    assert np.array_equal(pixels[0].permute(1, 2, 0), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_are_refused(format: str) -> None:
    frames = [Image.new("RGB", (3, 2), (shade, 0, 0)) for shade in (0, 100, 200)]
    blob = saved(frames[0], format, save_all=True, append_images=frames[1:])
    assert "has 3 frames; it must have one" in refused(blob, channels=3)


def test_a_camera_s_second_picture_and_its_orientation_are_ignored() -> None:
    image = Image.new("RGB", (3, 2), (90, 90, 90))
    blob = saved(image, "MPO", save_all=True, append_images=[Image.new("RGB", (3, 2))])
    assert (read(blob, channels=3) == 90).all()
    turned = Image.Exif()
    turned[0x0112] = 6
    assert read(saved(image, "JPEG", exif=turned), channels=3).shape == (1, 3, 2, 3)


def test_deep_and_ordinary_images_go_together() -> None:
    eight = np.uint8([[0, 51, 255], [1, 2, 3]])
    pixels = read(saved(eight), saved(RAMP))
    assert torch.equal(pixels[0, 0], torch.from_numpy(eight) / 255)
    assert torch.equal(pixels[1], read(saved(RAMP))[0])
    assert read(saved(eight)).dtype == torch.uint8


def test_deep_images_are_resized_and_cropped_as_others(tmp_path: Path) -> None:
    eight = np.random.default_rng(0).integers(256, size=(20, 30), dtype=np.uint8)
    settings: dict[str, Any] = {"channels": 3, "size": (8, 8), "resize": 10, "crop": 8}
    deep = read(saved(eight.astype(np.uint16) * 257), **settings)
    assert deep.dtype == torch.float32
    assert torch.allclose(deep, read(saved(eight), **settings) / 255, atol=1.5 / 255)
    path = tmp_path / "deep.png"
    path.write_bytes(png16(np.stack([RAMP] * 3, axis=2)))
    from_path = Encoded([path], ["deep"], Form((3, 2, 3)))[torch.tensor([0])]
    assert torch.equal(from_path[0, 0], read(saved(RAMP))[0, 0])
