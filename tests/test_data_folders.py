"""Folders of images: torchvision's order of classes and files, and fingerprints by content."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from vqexp.core import files as hashes
from vqexp.core.errors import ConfigError
from vqexp.data import ImageFiles

LONG_AGO = 10**18  # in ns: a file that is not young


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The store in which hashes are kept."""
    monkeypatch.setenv("VQEXP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made_up" / "test"


def made_up(folder: Path, num_classes: int, **settings: Any) -> ImageFiles:
    root = str(folder.parents[1])
    return ImageFiles(name="made_up", shape=(3, 2, 2), num_classes=num_classes, root=root, **settings)


def put(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), (shade, 0, 0)).save(path, format="PNG")
    return path


def rows(dataset: ImageFiles) -> list[tuple[int, int]]:
    """(shade, label) of every row."""
    images = dataset.test()
    order = images.ids.argsort()
    pixels = (images.pixels(slice(None))[order, 0, 0, 0] * 255).round().long()
    return list(zip(pixels.tolist(), images.labels[order].tolist(), strict=True))


def test_order_is_that_of_torchvision(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["b/2.png", "b/10.png", "B/x.PNG", "a b/n/z.png", "a b/z.png", "a b/a.pgm", "a/1.png", "9/q.jpeg"]
    for shade, name in enumerate(names):
        put(folder / name, shade)
    theirs = ImageFolder(str(folder))
    expected = [(int(image.getpixel((0, 0))[0]), label) for image, label in theirs]
    assert rows(made_up(folder, 5)) == expected
    assert not capsys.readouterr().err


def test_classes_that_are_numbers_are_in_numerical_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in range(11):
        put(folder / str(label) / "x.png", label)
    dataset = made_up(folder, 11)
    dataset.check()
    assert rows(dataset) == [(label, label) for label in range(11)]
    assert [label for _, label in ImageFolder(str(folder))] == list(range(11))
    assert ImageFolder(str(folder)).classes[2] == "10"
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"note: {folder}: the classes are taken as numbers, so that label 2 is 2; "
        "sorted as text, as torchvision's ImageFolder does, it would be 10"
    )


def test_no_note_where_both_orders_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in range(11):
        put(folder / f"{label:02}" / "x.png", label)
    assert rows(made_up(folder, 11)) == [(label, label) for label in range(11)]
    assert not capsys.readouterr().err


def test_hidden_folders_and_files_are_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shade, name in enumerate(("ant", "bee")):
        put(folder / name / "x.png", shade)
    for name in (".git", ".ipynb_checkpoints", "__MACOSX"):
        put(folder / name / "x.png")
        put(folder / "ant" / name / "x.png")
    put(folder / "bee" / "._x.png")
    (folder / "bee" / ".DS_Store").touch()
    assert rows(made_up(folder, 2)) == [(0, 0), (1, 1)]
    assert not capsys.readouterr().err


def test_other_files_are_left_out_with_a_note(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ant/x.png", "ant/x.gif", "bee/y.png"):
        put(folder / name)
    (folder / "bee" / "README").touch()
    assert len(rows(made_up(folder, 2))) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"note: {folder}: 2 files are left out for their names' endings (.gif, no ending);"
    )


def test_fingerprint_follows_contents_names_and_classes(folder: Path) -> None:
    file = put(folder / "ant" / "x.png", 1)
    put(folder / "bee" / "x.png", 2)
    seen = [made_up(folder, 2).fingerprint("test")]
    assert made_up(folder, 2).fingerprint("test") == seen[0]
    size = file.stat().st_size
    put(file, 3)
    assert file.stat().st_size == size  # by names and sizes alone it would be the same
    seen.append(made_up(folder, 2).fingerprint("test"))
    seen.append(renamed(file, folder / "ant" / "y.png"))
    seen.append(renamed(folder / "ant", folder / "cow"))
    assert len(set(seen)) == 4
    assert all(len(fingerprint) == 64 for fingerprint in seen)


def renamed(old: Path, new: Path) -> str:
    """The fingerprint after a change of a name."""
    old.rename(new)
    folder = next(parent for parent in new.parents if parent.name == "test")
    return made_up(folder, 2).fingerprint("test")


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read from now on; what this process remembers is forgotten."""
    read: list[Path] = []
    whole = hashes.read_sha256

    def note(path: Path) -> str:
        read.append(path)
        return whole(path)

    hashes._known.cache_clear()
    monkeypatch.setattr(hashes, "read_sha256", note)
    return read


def test_files_are_read_once_while_size_and_time_stay(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [put(folder / name / "x.png", shade) for shade, name in enumerate(("ant", "bee"))]
    for file in files:
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
    dataset = made_up(folder, 2)
    dataset.check()
    dataset.test()
    assert not home.exists()  # only a fingerprint writes
    fingerprint = dataset.fingerprint("test")
    read = count_reads(monkeypatch)
    assert dataset.fingerprint("test") == fingerprint
    assert read == []
    put(files[1], 7)
    os.utime(files[1], ns=(LONG_AGO, LONG_AGO + 1))
    assert dataset.fingerprint("test") != fingerprint
    assert read == [files[1]]


def test_a_young_file_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(folder / "ant" / "x.png", 1)
    put(folder / "bee" / "x.png")
    now = file.stat().st_mtime_ns
    before = made_up(folder, 2).fingerprint("test")
    put(file, 2)
    os.utime(file, ns=(now, now))
    assert made_up(folder, 2).fingerprint("test") != before


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": [1, 2]}', "null", '{"a": ["x", "y", "z"]}'])
def test_a_broken_cache_is_ignored(
    folder: Path, home: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ant", "bee"):
        file = put(folder / name / "x.png")
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
    fingerprint = made_up(folder, 2).fingerprint("test")
    [cache] = (home / "hashes").iterdir()
    assert len(json.loads(cache.read_text())) == 2
    cache.write_text(text)
    read = count_reads(monkeypatch)
    assert made_up(folder, 2).fingerprint("test") == fingerprint
    assert len(read) == 2
    assert len(json.loads(cache.read_text())) == 2


def test_without_a_place_for_the_cache_all_goes_on(folder: Path, home: Path) -> None:
    for name in ("ant", "bee"):
        file = put(folder / name / "x.png")
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
    before = made_up(folder, 2).fingerprint("test")
    hashes._known.cache_clear()
    for file in (home / "hashes").iterdir():
        file.unlink()
    (home / "hashes").rmdir()
    (home / "hashes").touch()  # a file where the folder should be
    assert made_up(folder, 2).fingerprint("test") == before


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(folder / "ant" / "x.png")
    put(folder / "bee" / "x.png")
    dataset = made_up(folder, 2)
    dataset.check()
    file.unlink()
    with pytest.raises(ConfigError) as caught:
        dataset.fingerprint("test")
    assert str(caught.value) == f"{file} cannot be read: No such file or directory"


def test_deep_images_in_a_folder_are_not_white(folder: Path) -> None:
    values = torch.tensor([[0, 32768], [65535, 257]], dtype=torch.int32).numpy().astype("uint16")
    for name in ("ant", "bee"):
        put(folder / name / "x.png")
    Image.fromarray(values).save(folder / "ant" / "x.png")
    images = made_up(folder, 2).test()
    ant = images.pixels(images.labels == 0)[0]
    assert torch.equal(ant[0], torch.from_numpy(values / 65535).float())
    assert torch.equal(images.pixels(images.labels == 1), torch.zeros(1, 3, 2, 2))
