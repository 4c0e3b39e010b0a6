"""A run's peak memory does not grow with the number of its images."""

import ctypes
import io
import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import nn

from vqexp.core.config import CONF, register_resolvers
from vqexp.data.blobs import Blobs
from vqexp.data.parquet import IMAGE
from vqexp.pipeline import run

SIDE, FEW, MANY, CHUNK = 128, 16, 128, 8
ALLOWED = 8 * 2**20  # bytes of growth: what an allocator keeps differs from run to run
M_MMAP_THRESHOLD, LARGE = -3, 2**16


class Pooled(nn.Module):
    """A classifier with weights of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.linspace(-1, 1, 12).view(4, 3))

    def forward(self, images):
        return images.mean((2, 3)) @ self.weight.T


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A data set of images that cannot be compressed."""
    root, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    rows = []
    for _ in range(MANY):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(
            buffer, "PNG", compress_level=0
        )
        rows.append({"bytes": buffer.getvalue(), "path": ""})
    (root / "noise").mkdir()
    table = pa.table({"image": pa.array(rows, IMAGE), "label": [i % 4 for i in range(MANY)]})
    pq.write_table(table, root / "noise" / "test.parquet", row_group_size=CHUNK)
    return root


def peak(config):
    """The most that a process of its own has of memory while it runs `config`, in bytes."""

    def work(told):
        # what is freed goes back to the system at once, and the peak counts from here
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
        Path("/proc/self/clear_refs").write_text("5")
        run(config)
        status = Path("/proc/self/status").read_text()
        told.send(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))

    context = multiprocessing.get_context("fork")
    receives, sends = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sends,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return 1024 * receives.recv()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_ten_times_the_images_need_no_more_memory(noise, tmp_path):
    settings = [
        *("scale=smoke", "dataset=files", f"dataset.root={noise}", "dataset.name=noise"),
        *(f"dataset.shape=[3,{SIDE},{SIDE}]", "dataset.num_classes=4", "preset.eps=0.1", "attack.steps=1"),
        *("classifier=own", "classifier._target_=test_memory.Pooled", f"attack.batch_size={CHUNK}"),
        *("defense=none", f"store.root={tmp_path}"),
    ]
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        run(compose("config", overrides=[*settings, f"dataset.n={CHUNK}"]))  # what is imported stays
        few, many = (compose("config", overrides=[*settings, f"dataset.n={n}"]) for n in (FEW, MANY))
    pixels = 4 * 3 * SIDE**2 * (MANY - FEW)
    assert pixels > 2 * ALLOWED
    assert peak(many) - peak(few) < ALLOWED


def test_blobs_are_what_was_put_there():
    blobs = Blobs(3)
    blobs[2], blobs[0] = b"last", b"first"
    assert list(blobs) == [b"first", b"", b"last"]
