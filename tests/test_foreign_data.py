"""Data that users have already: NumPy archives and torch datasets."""

import importlib
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from vqexp.core.errors import ConfigError, MissingError
from vqexp.data import Npz, TorchDataset
from vqexp.pipeline import prepare

SMALL = {"name": "small", "shape": (3, 6, 5), "num_classes": 4}
PIXELS = np.random.default_rng(0).integers(256, size=(8, 6, 5, 3), dtype=np.uint8)  # channels last
LABELS = np.arange(8) % 4
EXPECTED = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255


@pytest.fixture
def npz(tmp_path):
    """A data set of an archive with these arrays."""

    def make(settings=SMALL, **arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return Npz(path=str(tmp_path / "data.npz"), **settings)

    return make


def in_file_order(images):
    order = images.ids.argsort()
    return images.pixels(order), images.labels[order]


def same(images):
    pixels, labels = in_file_order(images)
    return torch.equal(pixels, EXPECTED) and labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("images", [PIXELS, PIXELS.transpose(0, 3, 1, 2), PIXELS.astype(np.float32) / 255])
@pytest.mark.parametrize("names", [("x_test", "y_test"), ("test_images", "test_labels"), ("x", "labels")])
def test_an_archive_holds_what_was_saved(npz, images, names):
    found = npz(**dict(zip(names, (images, LABELS[:, None]), strict=True)))
    assert same(found.test())
    assert found.fingerprint("test") == found.fingerprint("test")


def test_splits_are_told_apart(npz):
    data = npz(x_train=PIXELS[:6], y_train=LABELS[:6], x_test=PIXELS, y_test=LABELS, extra=LABELS)
    assert same(data.test())
    assert len(data.train()) == 6
    with pytest.raises(MissingError, match=r"has no images to train on; set dataset\.arrays\.train_images"):
        npz(x=PIXELS, y=LABELS).train()


def test_grey_images_need_no_channels(npz):
    data = npz({**SMALL, "shape": (1, 6, 5)}, images=PIXELS[..., 0], labels=LABELS)
    assert torch.equal(in_file_order(data.test())[0], EXPECTED[:, :1])


def test_contents_decide_the_fingerprint(npz):
    before = npz(x=PIXELS, y=LABELS).fingerprint("test")
    changed = PIXELS.copy()
    changed[3, 2, 1, 0] ^= 1
    assert npz(x=changed, y=LABELS).fingerprint("test") != before
    assert npz(images=PIXELS, labels=LABELS).fingerprint("test") == before


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS, "images": PIXELS, "y": LABELS}, r"has x and images; set dataset\.arrays\.test_images"),
        ({"pictures": PIXELS, "y": LABELS}, r"no test images; set .*test_images=NAME; it has pictures, y"),
        ({"x": PIXELS, "y": LABELS[:5]}, r"y: int64 \(5,\) for 8 images; it must be one integer an image"),
        ({"x": PIXELS, "y": LABELS / 2}, r"y: float64"),
        (
            {"x": PIXELS.astype(np.float32), "y": LABELS},
            r"float32 from 0 to 255; it must be uint8 or floats in",
        ),
        ({"x": PIXELS.astype(np.int64), "y": LABELS}, "int64 from 0 to 255"),
        (
            {"x": PIXELS[:, :4], "y": LABELS},
            r"images of shape \(4, 5, 3\); the data set declares \(3, 6, 5\)",
        ),
        ({"x": PIXELS[0, 0], "y": LABELS}, r"is of shape \(5, 3\)"),
        ({"x": PIXELS, "y": np.array([{}] * 8)}, "Object arrays cannot be loaded"),
    ],
)
def test_what_leaves_a_doubt_is_refused(npz, arrays, message):
    with pytest.raises(ConfigError, match=message) as error:
        npz(**arrays).test()
    assert "\n" not in str(error.value)


def test_named_arrays_and_what_else_is_wrong(npz, tmp_path):
    named = {**SMALL, "arrays": {"test_images": "pictures"}}
    assert same(npz(named, pictures=PIXELS, y=LABELS, x=PIXELS).test())
    with pytest.raises(ConfigError, match=r"has no pictures, which dataset\.arrays\.test_images names"):
        npz(named, x=PIXELS, y=LABELS).test()
    with pytest.raises(ConfigError, match=r"dataset\.arrays has no images; there are train_images, "):
        npz({**SMALL, "arrays": {"images": "x"}}, x=PIXELS, y=LABELS)
    with pytest.raises(ConfigError, match="channels first or last"):
        npz({}, x=PIXELS.reshape(8, 3, 10, 3), y=LABELS)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Npz(path=str(tmp_path / "none.npz"), **SMALL).test()
    for contents in (b"", b"something else"):
        (tmp_path / "broken.npz").write_bytes(contents)
        with pytest.raises(ConfigError, match=r"is no \.npz archive"):
            Npz(path=str(tmp_path / "broken.npz"), **SMALL).test()
    np.save(tmp_path / "one.npy", PIXELS)
    with pytest.raises(ConfigError, match=r"is no \.npz archive"):
        Npz(path=str(tmp_path / "one.npy"), **SMALL).test()


# torch datasets


class Items(torch.utils.data.Dataset):
    """Of `change`d images and labels, in one of the forms that torch datasets have."""

    def __init__(self, how="tensor", n=8):
        self.how, self.n = how, n

    def __len__(self):
        return self.n

    def __getitem__(self, row):
        image, label = torch.from_numpy(PIXELS[row]).permute(2, 0, 1), int(LABELS[row])
        return {
            "tensor": (image, label),
            "float": (image.double() / 255, torch.tensor(label)),
            "pillow": [Image.fromarray(PIXELS[row]), np.int64(label)],
            "random": (torch.rand(3, 6, 5), label),
            "normalized": (image / 127.5 - 1, label),
            "numpy": (PIXELS[row], label),
            "dict": {"image": image, "label": label},
            "sizes": (image[:, : 6 - row // 7], label),
            "one hot": (image, torch.eye(4)[label]),
            "flat": (image.flatten(), label),
        }[self.how]


class Splits(Items):
    def __init__(self, train=True):
        super().__init__(n=6 if train else 8)


class Named(Items):
    def __init__(self, split="train"):
        super().__init__(n={"train": 6, "test": 8}[split])


@pytest.mark.parametrize("how", ["tensor", "float", "pillow"])
def test_items_are_read_as_they_are(how):
    data = TorchDataset(source=lambda: Items(how), **SMALL)
    assert same(data.test())
    with pytest.raises(MissingError, match="takes neither train nor split, so its images are for testing"):
        data.train()


@pytest.mark.parametrize("kind", [Splits, Named])
def test_a_split_is_asked_for_by_its_argument(kind):
    data = TorchDataset(source=kind, **SMALL)
    assert same(data.test())
    assert len(data.train()) == 6
    assert data.fingerprint("train") != data.fingerprint("test")


def test_pillow_images_get_the_declared_channels():
    grey = TorchDataset(source=lambda: Items("pillow"), **{**SMALL, "shape": (1, 6, 5)})
    expected = torch.from_numpy(np.array(Image.fromarray(PIXELS[0]).convert("L"))).float() / 255
    assert torch.equal(in_file_order(grey.test())[0][0, 0], expected)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("random", "gives another image each time it is asked for row 0"),
        (
            "normalized",
            r"row 0: float32 from -.* to .*uint8 or floats in \[0, 1\] \(a normalization is a setting",
        ),
        ("numpy", "row 0: a ndarray; it must be a tensor or a Pillow image"),
        ("dict", r"row 0 is a dict; it must be \(image, label\)"),
        ("sizes", r"row 7: an image of shape \(3, 5, 5\); it must be \(3, 6, 5\)"),
        ("one hot", "row 0: the label is tensor"),
        ("flat", r"row 0: an image of shape \(90,\)"),
        ("unknown", "row 0: KeyError: 'unknown'"),
    ],
)
def test_other_items_are_refused(how, message):
    with pytest.raises(ConfigError, match=message) as error:
        TorchDataset(source=lambda: Items(how), **SMALL).test()
    assert "\n" not in str(error.value).replace("\\n", "")


def test_other_sources_are_refused():
    with pytest.raises(ConfigError, match="is no map-style dataset"):
        TorchDataset(source=lambda: iter(Items()), **SMALL).test()
    with pytest.raises(ConfigError, match=r"cannot be built: TypeError: .*how"):
        TorchDataset(source=lambda how: Items(how), **SMALL).test()
    with pytest.raises(ConfigError, match="is empty"):
        TorchDataset(source=lambda: Items(n=0), **SMALL).test()


def test_what_is_not_declared_is_told(npz):
    told = (
        r"images of shape \(3, 6, 5\) and labels 0 to 3; set 'dataset.shape=\[3,6,5\]' dataset.num_classes=4"
    )
    with pytest.raises(ConfigError, match=told):
        npz({"name": "small", "num_classes": 4}, x=PIXELS, y=LABELS)
    with pytest.raises(ConfigError, match=told):
        TorchDataset(source=Items, name="small", shape=(3, 6, 5))


MINE = """
import torch
class Data(torch.utils.data.Dataset):
    def __init__(self, level=0.5, n=20):
        self.level, self.n = level, n
    def __len__(self):
        return self.n
    def __getitem__(self, row):
        return torch.full((1, 8, 8), self.level * (row % 2)), row % 2
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()


@pytest.mark.usefixtures("mine")
def test_a_torch_dataset_by_its_target(config):
    own = ["dataset._target_=mine.Data", "dataset.shape=[1,8,8]", "dataset.num_classes=2"]
    ready = ["classifier._target_=torch.nn.Identity", "attack=none", "defense=none"]
    with pytest.raises(
        ConfigError, match="returns"
    ):  # Identity is no classifier: the images were read before
        prepare(config(*own, *ready), check_store=False)
    with pytest.raises(MissingError, match=r"mine\.Data takes neither train nor split"):
        prepare(config(*own), check_store=False)
    with pytest.raises(ConfigError, match=r"dataset\.source has no colour; mine\.Data takes level, n"):
        prepare(config(*own, "dataset.colour=3"), check_store=False)


@pytest.mark.usefixtures("mine")
def test_it_runs_on_the_command_line(vqexp, tmp_path):
    own = ["dataset._target_=mine.Data", "dataset.level=0.75"]
    net = "classifier._target_=vqexp.classifiers.small_cnn"
    (tmp_path / "net.py").write_text(
        "from vqexp.classifiers import small_cnn\nimport torch\n"
        "def net():\n    torch.manual_seed(0)\n    return small_cnn((1, 8, 8), 2, 4)\n"
    )
    net = "classifier._target_=net.net"
    status, _, err = vqexp("scale=smoke", *own, net)
    assert status == 2
    settings = re.search(r"set (.*)", err)[1].replace("'", "").split()
    status, out, err = vqexp("scale=smoke", *own, net, *settings)
    assert status == 0, err
    assert "natural accuracy" in out
