"""Data sets: what is read is what was written, in an order that only the seed decides."""

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vqexp.core.errors import ConfigError, WorkError
from vqexp.data import Digits, ImageFiles, Images, fetch
from vqexp.data.digits import split_rows
from vqexp.data.parquet import write_parquet

DATA = Path(os.environ.get("VQEXP_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VQEXP_HOME", str(tmp_path / "home"))


def digits(**settings: Any) -> Digits:
    return Digits(**{"name": "digits", "shape": (1, 8, 8), "num_classes": 10, **settings})


def small(root: Path | None, **settings: Any) -> ImageFiles:
    """A made-up data set of 6 x 5 pixels."""
    made_up = {"name": "made_up", "shape": (3, 6, 5), "num_classes": 10}
    return ImageFiles(**{**made_up, "root": None if root is None else str(root), **settings})


def real(name: str, split: str, **settings: Any) -> ImageFiles:
    if not (DATA / name / f"{split}.parquet").exists():
        pytest.skip(f"{DATA / name} does not hold {split}.parquet; set VQEXP_DATA")
    return ImageFiles(**{"name": name, "num_classes": 10, "root": str(DATA), **settings})


def write(root: Path, channels: int = 3, n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (n, channels, 6, 5), generator=generator, dtype=torch.uint8)
    labels = torch.arange(n) % 10
    write_parquet(root / "made_up" / "test.parquet", pixels, labels, [str(label) for label in range(10)])
    return pixels, labels


def write_table(root: Path, **columns: Any) -> Path:
    path = root / "made_up" / "test.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def png(height: int, width: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (1, 2, 3)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def refused(dataset: Any) -> str:
    """The one line with which `dataset` refuses to give its test images."""
    with pytest.raises(ConfigError) as caught:
        dataset.test()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_digits_are_split_once_and_for_all() -> None:
    labels = np.arange(1797) % 10
    train, test = split_rows(labels, "train"), split_rows(labels, "test")
    assert len(train) == 1437
    assert len(test) == 360
    assert not set(train) & set(test)
    assert set(np.bincount(labels[test])) <= {35, 36, 37}
    images = digits().test()
    pixels = images.pixels(slice(None))
    assert pixels.shape == (360, 1, 8, 8)
    assert pixels.dtype == torch.float32
    assert pixels.min() == 0
    assert pixels.max() == 1
    assert torch.equal(digits().test().pixels(slice(None)), pixels)
    assert digits().fingerprint("test") == digits().fingerprint("test") != digits().fingerprint("train")


def test_fewer_images_are_the_first_of_more() -> None:
    dataset = digits(seed=3, n=10, train_n=7)
    assert torch.equal(dataset.test().ids, dataset.load("test").ids[:10])
    assert torch.equal(dataset.train().pixels(slice(None)), dataset.load("train", 20).pixels(slice(0, 7)))
    assert len(dataset.load("test", 9999)) == 360
    assert not torch.equal(digits(seed=4).test().ids, dataset.load("test").ids)


def test_images_are_taken_by_slice_position_or_mask() -> None:
    store = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1)
    images = Images(store, torch.tensor([5, 6, 7, 8]), torch.tensor([40, 30, 20, 10]))
    part = images.subset(torch.tensor([3, 1, 0])).subset(slice(0, 2))
    assert part.ids.tolist() == [10, 30]
    assert part.labels.tolist() == [8, 6]
    assert part.shape == (1, 1, 1)
    assert torch.equal(part.pixels(torch.tensor([True, False])).flatten() * 255, torch.tensor([3.0]))
    assert torch.equal(images.pixels(torch.tensor([2, 0])).flatten(), torch.tensor([2 / 255, 0]))


@pytest.mark.parametrize("channels", [1, 3])
def test_parquet_round_trip(tmp_path: Path, channels: int) -> None:
    pixels, labels = write(tmp_path, channels)
    dataset = small(tmp_path, shape=(channels, 6, 5), seed=1)
    dataset.check()
    images = dataset.test()
    assert images.ids.tolist() != list(range(12))
    assert torch.equal(images.pixels(slice(None)), pixels[images.ids].float() / 255)
    assert torch.equal(images.labels, labels[images.ids])


def test_row_groups_are_put_back_together(tmp_path: Path) -> None:
    pixels, _ = write(tmp_path)
    path = tmp_path / "made_up" / "test.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=5)
    images = small(tmp_path, n=7).test()
    assert torch.equal(images.pixels(slice(None)), pixels[images.ids].float() / 255)


def test_fingerprint_follows_the_contents(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    write(tmp_path / "c", n=13)
    a, b, c = (small(tmp_path / root).fingerprint("test") for root in "abc")
    assert a == b != c
    assert len(a) == 64


def test_large_images_are_resized_cropped_and_decoded_on_demand(tmp_path: Path) -> None:
    broken = {"bytes": b"\x89PNG not really", "path": None}
    write_table(tmp_path, image=[png(150, 220), broken], label=[0, 1])
    dataset = small(tmp_path, shape=(3, 100, 100), resize=120, crop=100)
    images = dataset.test()
    assert len(images) == 2
    good, bad = (images.ids == 0).nonzero()[0], (images.ids == 1).nonzero()[0]
    assert images.pixels(good).shape == (1, 3, 100, 100)
    assert torch.allclose(images.pixels(good)[0, :, 50, 50] * 255, torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(ConfigError, match=r"test\.parquet, row 1: the image cannot be decoded"):
        images.pixels(bad)


def test_folders_of_images(tmp_path: Path) -> None:
    for label, name in enumerate(("ant", "bee")):
        folder = tmp_path / "made_up" / "val" / name
        folder.mkdir(parents=True)
        for image in range(2):
            Image.new("RGB", (5, 6), (label, image, 0)).save(folder / f"{image}.png")
    dataset = small(tmp_path, num_classes=2, files={"test": ["test", "val"]})
    dataset.check()
    images = dataset.test()
    colors = (images.pixels(slice(None))[:, :2, 0, 0] * 255).round().long()
    assert torch.equal(colors[:, 0], images.labels)
    assert torch.equal(colors[:, 0] * 2 + colors[:, 1], images.ids)
    assert dataset.fingerprint("test") == dataset.fingerprint("test")
    assert "2 class folders; it must have 3" in refused(small(tmp_path, num_classes=3, files={"test": "val"}))


def test_torchvision_files(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = torch.randint(256, (4, 28, 28), dtype=torch.uint8)
    for prefix in ("train", "t10k"):
        header = struct.pack(">4i", 0x803, 4, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels.numpy().tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, 4) + bytes([3, 1, 4, 9]))
    mnist = small(tmp_path, name="mnist", shape=(1, 28, 28))
    images = mnist.test()
    assert torch.equal(images.pixels(slice(None))[:, 0], pixels[images.ids].float() / 255)
    assert images.labels[images.ids.argsort()].tolist() == [3, 1, 4, 9]
    assert "shape (1, 28, 28)" in refused(small(tmp_path, name="mnist"))

    paths = fetch("mnist", tmp_path)
    assert [path.name for path in paths] == ["train.parquet", "test.parquet"]
    again = small(tmp_path, name="mnist", shape=(1, 28, 28)).test()
    assert torch.equal(again.pixels(slice(None)), images.pixels(slice(None)))
    assert pq.read_schema(paths[1]).metadata[b"classes"] == b"0,1,2,3,4,5,6,7,8,9"


def test_a_failed_download_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no network\nat all")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", fail)
    with pytest.raises(WorkError, match="cifar10 could not be downloaded: no network at all"):
        small(tmp_path, name="cifar10", download=True).check()
    with pytest.raises(WorkError, match="no network at all"):
        fetch("cifar10", tmp_path)
    with pytest.raises(ConfigError, match="must be one of mnist, cifar10, cifar100, svhn"):
        fetch("imagenet", tmp_path)


def test_a_missing_root_names_the_commands(tmp_path: Path) -> None:
    for root in (None, tmp_path):
        message = refused(small(root, name="cifar10"))
        assert "`python run.py dataset=cifar10 dataset.root=DIR dataset.download=true`" in message
        assert "`VQEXP_DATA=DIR python run.py dataset=cifar10`" in message
        assert "DIR/cifar10/test.parquet" in message
    message = refused(small(tmp_path, name="imagenet", download=True, files={"test": ["val", "sample"]}))
    assert "torchvision cannot download it" in message
    assert "DIR/imagenet/val/CLASS/" in message


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "made_up" / "test.parquet"
    whole = path.read_bytes()
    for broken in (whole[:-20], b"", whole[:4] + bytes(900) + whole[904:]):
        path.write_bytes(broken)
        message = refused(small(tmp_path))
        assert "test.parquet is not a whole, readable parquet file" in message or "row" in message
    path.write_bytes(whole[:-20])
    with pytest.raises(ConfigError, match="not a whole"):
        small(tmp_path).check()


def test_wrong_columns_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path, picture=[png(6, 5)], label=[0])
    assert "no column image or img; set dataset.columns.image=NAME; it has picture, label" in refused(
        small(tmp_path)
    )
    write_table(tmp_path, image=[png(6, 5)], target=[0])
    assert "no column label or labels or fine_label or coarse_label; set" in refused(small(tmp_path))
    write_table(tmp_path, image=[b"bytes"], label=[0])
    assert "must be a struct with bytes" in refused(small(tmp_path))
    write_table(tmp_path, image=[png(6, 5)], label=["cat"])
    assert "must be of integers" in refused(small(tmp_path))


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (png(6, 5), 10, "row 1: the label is 10; it must be in 0..9"),
        (png(6, 5), -1, "row 1: the label is -1; it must be in 0..9"),
        (png(6, 5), None, "row 1: the label is missing"),
        (
            png(7, 5),
            0,
            "row 1: the image has 5 x 7 pixels (width x height) where the data set declares 5 x 6",
        ),
        ({"bytes": png(6, 5)["bytes"][:-30], "path": None}, 0, "row 1: the image cannot be decoded"),
        ({"bytes": b"garbage", "path": None}, 0, "row 1: the image cannot be decoded: of no known format"),
        ({"bytes": None, "path": None}, 0, "row 1: the image has no bytes"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, image: Any, label: int | None, message: str) -> None:
    path = write_table(tmp_path, image=[png(6, 5), image], label=[0, label])
    assert refused(small(tmp_path)).startswith(f"{path}, {message}")


def test_a_check_looks_at_one_image(tmp_path: Path) -> None:
    write_table(tmp_path, image=[png(150, 220)] * 3, label=[0, 1, 2])
    small(tmp_path, shape=(3, 100, 100), resize=120, crop=100).check()
    with pytest.raises(ConfigError, match="220 x 150 pixels"):
        small(tmp_path, shape=(3, 100, 100)).check()  # large images are not decoded before they are needed


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    rows = pa.table({"image": [png(6, 5)], "label": [0]}).slice(0, 0)
    path = write_table(tmp_path, image=rows["image"], label=rows["label"])
    assert refused(small(tmp_path)) == f"{path} has no rows"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n is 0; it must be a whole number of at least 1 or null"),
        ({"train_n": "many"}, "train_n is 'many'"),
        ({"seed": -1}, "seed is -1"),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"shape": (28, 28)}, "channels, height, width"),
        ({"shape": (2, 6, 5)}, "must have 1 or 3"),
        ({"resize": 0}, "resize is 0"),
        ({"crop": 6}, "height and width must be the crop"),
        ({"shape": (3, 6, 6), "resize": 5, "crop": 6}, "at least its crop, 6"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small(None, **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_digits_refuse_another_shape_or_split() -> None:
    with pytest.raises(ConfigError, match=r"must be \(1, 8, 8\)"):
        digits(shape=(1, 28, 28)).check()
    with pytest.raises(ConfigError, match="one of train, test"):
        digits().load("val")


@pytest.mark.shared
def test_real_cifar10() -> None:
    dataset = real("cifar10", "test", shape=(3, 32, 32), n=20)
    dataset.check(("train", "test"))
    images = dataset.test()
    table = pq.read_table(DATA / "cifar10" / "test.parquet")
    assert table.num_rows == 10_000
    for position, row in enumerate(images.ids.tolist()):
        bytes_ = table["image"][row]["bytes"].as_py()
        expected = np.asarray(Image.open(io.BytesIO(bytes_)).convert("RGB")).transpose(2, 0, 1)
        assert images.labels[position] == table["label"][row].as_py()
        assert np.array_equal(images.pixels(slice(position, position + 1))[0] * 255, expected)


@pytest.mark.shared
def test_real_mnist() -> None:
    images = real("mnist", "test", shape=(1, 28, 28)).test()
    assert len(images) == 10_000
    assert images.shape == (1, 28, 28)
    assert images.pixels(slice(0, 50)).max() == 1
    assert images.labels.unique().tolist() == list(range(10))


@pytest.mark.shared
def test_real_imagenet_sample() -> None:
    settings: dict[str, Any] = {"num_classes": 1000, "files": {"test": "sample"}}
    images = real("imagenet", "sample", shape=(3, 328, 328), resize=328, crop=328, **settings).test()
    assert len(images) == 200
    pixels = images.pixels(slice(0, 4))
    assert pixels.shape == (4, 3, 328, 328)
    assert 0 <= pixels.min() < pixels.max() <= 1
    small_images = real("imagenet", "sample", shape=(3, 224, 224), resize=256, crop=224, **settings).test()
    assert torch.equal(small_images.ids, images.ids)
    assert small_images.pixels(torch.tensor([199])).shape == (1, 3, 224, 224)
