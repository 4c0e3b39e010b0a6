"""Real images for the tests: from `$VQEXP_DATA`, else from `../shared/data` beside the repository."""

import gc
import io
import math
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from command_line import called
from composing import compose_once
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from PIL import Image, ImageOps

from vqexp.classifiers import small_cnn
from vqexp.core.components import own_choices
from vqexp.core.config import CONF, register_resolvers
from vqexp.core.store import Store
from vqexp.data import Digits
from vqexp.data.base import SPLITS
from vqexp.data.parquet import write_parquet
from vqexp.pipeline import stopwatch
from vqexp.training import CrossEntropy, Descent

pytest_plugins = ["seeding"]

os.environ["VQEXP_HOME"] = tempfile.mkdtemp(prefix="vqexp-tests-")  # nothing is written into the checkout
# With AVX-512 torch rounds differently, and training amplifies that; read at torch's first operation.
os.environ |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
gc.disable()  # while tests are collected; see `pytest_collection_finish`
gc.set_threshold(10_000)  # a search for each 700 objects takes a twelfth of all time
torch.set_num_threads(1)  # tests run side by side, and threads that wait for one another cost most

# Hydra composes each config twice, first only to read hydra.mode, which `-m` sets; subprocesses still do.
Hydra.get_mode = lambda self, config_name, overrides: None
compose_once()

ROOT = Path(os.environ.get("VQEXP_DATA") or Path(__file__).parents[1].parent / "shared" / "data")
# of f, with which a table's cells take seconds
QUICK_F = ["classifier=small_cnn", "classifier.width=4", "training.epochs=1"]
SMALL = ["scale=smoke", "training.epochs=2", "dataset.n=24", "attack.batch_size=16"]


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


def section(page, name):
    """The lines of a table or figure in the report's Markdown: a record may fill cells of several."""
    parts = [part for part in page.split("\n## ") if not part.startswith(("Claims", "Checks of ours"))]
    return next(part for part in parts if f"={name} " in part).splitlines()


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are skipped where there is no CUDA device."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_collection_finish():
    """What is imported by now stays, so no search for garbage need go through it."""
    gc.freeze()
    gc.enable()


@pytest.fixture(params=["interpreter", pytest.param("cuda", marks=pytest.mark.gpu)])
def triton_device(request):
    """Where Triton's kernels run: on a GPU, or in Triton's interpreter where there is none."""
    pytest.importorskip("triton")
    if request.param == "interpreter" and torch.cuda.is_available():
        pytest.skip("kernels run on the GPU")
    return torch.device("cuda" if request.param == "cuda" else "cpu")


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


@pytest.fixture(scope="session")
def digit_images():
    """The 360 test digits, `Images` of (1, 8, 8)."""
    return Digits(name="digits", shape=(1, 8, 8), num_classes=10).test()


@pytest.fixture(scope="session")
def train():
    """The training digits, `Images`."""
    return Digits(name="digits", shape=(1, 8, 8), num_classes=10).train()


@pytest.fixture(scope="session")
def few():
    """The first 100 of them."""
    return Digits(name="digits", shape=(1, 8, 8), num_classes=10, train_n=100).train()


@pytest.fixture(scope="session")
def digit_classifier(train):
    """A small network that knows the digits, ready to be attacked."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = small_cnn((1, 8, 8), 10, width=16)
    training = Descent(objective=CrossEntropy(), epochs=4, lr=0.1, batch_size=64)
    training.fit(classifier, train, seed=0, device=torch.device("cpu"))
    return classifier.requires_grad_(False)


@pytest.fixture(scope="session")
def enlarged_digits(tmp_path_factory):
    """A folder with `cifar10/train.parquet` and `test.parquet`: 60 digits each, 3 x 32 x 32."""
    root = tmp_path_factory.mktemp("data")
    digits = {name: Digits(name="digits", shape=(1, 8, 8), num_classes=10).load(name, 60) for name in SPLITS}
    for name, images in digits.items():
        pixels = images.pixels(slice(None)).mul(255).round().to(torch.uint8)
        large = pixels.expand(-1, 3, -1, -1).repeat_interleave(4, 2).repeat_interleave(4, 3)
        classes = [str(label) for label in range(10)]
        write_parquet(root / "cifar10" / f"{name}.parquet", large.contiguous(), images.labels, classes)
    return root


@pytest.fixture(autouse=True)
def trained_once(request, monkeypatch, tmp_path_factory):
    """A classifier is trained once for all tests; those marked `trains` have the store's own."""
    base = tmp_path_factory.getbasetemp()
    common = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "classifiers"
    whole = Store.path

    def path(self, kind, key):
        return common / f"{key}.safetensors" if kind == "classifier" else whole(self, kind, key)

    if not request.node.get_closest_marker("trains"):
        monkeypatch.setattr(Store, "path", path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for a test module, so that each classifier is trained once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def undrawn(monkeypatch):
    """A report without its drawings, which take most of its time."""
    monkeypatch.setattr("vqexp.reports.render.material.draw_figure", lambda *arguments, **settings: [])
    monkeypatch.setattr("vqexp.reports.render.material.draw_waterfall", lambda *arguments: None)


@pytest.fixture
def config(store):
    """Compose a small config on the module's store, or on `root`, with a narrow f unless one is chosen."""
    register_resolvers()

    def make(*overrides, root=store):
        narrow = not any(override.startswith("classifier") for override in overrides)
        settings = [*SMALL, f"store.root={root}", *(["classifier.width=8"] if narrow else [])]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", overrides=own_choices([*settings, *overrides]))

    return make


def run_cli(*arguments, store, data=None):
    """Run the command line in this process, with `data` as VQEXP_DATA: (exit status, stdout, stderr)."""
    with pytest.MonkeyPatch.context() as patch:
        if data is not None:
            patch.setenv("VQEXP_DATA", str(data))
        return called("run.py", *arguments, f"store.root={store}")


@pytest.fixture
def vqexp(monkeypatch, tmp_path):
    """Run the command line in this process: (exit status, stdout, stderr)."""
    monkeypatch.delenv("VQEXP_DATA", raising=False)

    monkeypatch.setattr("vqexp.core.progress.FIRST", math.inf)  # a slow machine's progress is no error

    def run(*arguments, store=tmp_path / "store"):
        return called("run.py", *arguments, f"store.root={store}")

    return run


@pytest.fixture
def small_cifar10(vqexp, enlarged_digits, monkeypatch):
    """With a stand-in for CIFAR-10 at hand: overrides with which a table's cells take seconds."""
    monkeypatch.setenv("VQEXP_DATA", str(enlarged_digits))
    return QUICK_F


@pytest.fixture
def cpu_time(monkeypatch):
    """Forecasts in CPU time of one thread, because other tests run beside this one."""
    monkeypatch.setattr(
        stopwatch, "time", SimpleNamespace(perf_counter=time.process_time, process_time=time.process_time)
    )
