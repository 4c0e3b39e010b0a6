"""Real images for the tests: from `$VQEXP_DATA`, else from `../shared/data` beside the repository."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageOps

ROOT = Path(os.environ.get("VQEXP_DATA") or Path(__file__).parents[1].parent / "shared" / "data")


def first_images(file, count, size=None):
    """The first `count` images of a parquet file, (count, C, H, W) float32 in [0, 1]; skips without it."""
    path = ROOT / file
    if not path.exists():
        pytest.skip(f"no {path}: set VQEXP_DATA to the folder of the real images")
    rows = next(pq.ParquetFile(path).iter_batches(count, columns=["image"]))["image"]
    images = [Image.open(io.BytesIO(row["bytes"].as_py())) for row in rows]
    if size is not None:
        images = [ImageOps.fit(image.convert("RGB"), (size, size)) for image in images]
    pixels = np.stack([np.atleast_3d(np.asarray(image)) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous()


@pytest.fixture(scope="session")
def cifar10():
    """The first 200 test images, (200, 3, 32, 32)."""
    return first_images("cifar10/test.parquet", 200)


@pytest.fixture(scope="session")
def mnist():
    """The first 200 test images, (200, 1, 28, 28)."""
    return first_images("mnist/test.parquet", 200)


@pytest.fixture(scope="session")
def imagenet():
    """Four images, cropped and resized to (4, 3, 328, 328)."""
    return first_images("imagenet/sample.parquet", 4, size=328)
