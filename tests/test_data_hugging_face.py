"""Parquet files as they come from Hugging Face: their columns, class names and shards."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vqexp.core.errors import ConfigError
from vqexp.data import ImageFiles
from vqexp.data.parquet import IMAGE


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VQEXP_HOME", str(tmp_path / "home"))


def made_up(root: Path, **settings: Any) -> ImageFiles:
    return ImageFiles(
        **{"name": "made_up", "shape": (1, 2, 2), "num_classes": 3, "root": str(root), **settings}
    )


def refused(dataset: ImageFiles) -> str:
    with pytest.raises(ConfigError) as caught:
        dataset.check()
    message = str(caught.value)
    assert "\n" not in message
    return message


def pictures(start: int, stop: int) -> pa.Array:
    """One image a shade, all pixels alike."""
    rows = []
    for shade in range(start, stop):
        buffer = io.BytesIO()
        Image.new("L", (2, 2), shade).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    return pa.array(rows, IMAGE)


def write(path: Path, classes: dict[str, list[str]] | None = None, **columns: Any) -> Path:
    """A parquet file; `classes` are class names by column, in the schema as `datasets` writes them."""
    table = pa.table(columns)
    if classes is not None:
        features: dict[str, Any] = {
            name: {"names": names, "_type": "ClassLabel"} for name, names in classes.items()
        }
        images = [name for name, column in columns.items() if isinstance(column, pa.StructArray)]
        features |= {name: {"_type": "Image"} for name in images}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def shades(dataset: ImageFiles) -> dict[int, int]:
    """The shade of every row."""
    images = dataset.test()
    pixels = (images.pixels(slice(None))[:, 0, 0, 0] * 255).round().long()
    return dict(sorted(zip(images.ids.tolist(), pixels.tolist(), strict=True)))


@pytest.mark.parametrize("image", ["image", "img"])
@pytest.mark.parametrize("label", ["label", "labels", "fine_label", "coarse_label"])
def test_usual_names_of_columns_are_known(tmp_path: Path, image: str, label: str) -> None:
    write(
        tmp_path / "made_up" / "test.parquet", **{image: pictures(7, 10), label: [2, 0, 1], "id": [1, 2, 3]}
    )
    images = made_up(tmp_path).test()
    assert images.labels[images.ids.argsort()].tolist() == [2, 0, 1]
    assert shades(made_up(tmp_path)) == {0: 7, 1: 8, 2: 9}


def test_other_names_are_known_by_the_schema_or_by_setting(tmp_path: Path) -> None:
    columns = {"picture": pictures(0, 3), "kind": [2, 0, 1]}
    path = write(tmp_path / "made_up" / "test.parquet", **columns)
    assert "no column image or img; set dataset.columns.image=NAME; it has picture, kind" in refused(
        made_up(tmp_path)
    )
    named = made_up(tmp_path, columns={"image": "picture", "label": "kind"})
    by_setting = named.test().labels.tolist()
    assert f"{path} has no column 'kin', which dataset.columns.label names" in refused(
        made_up(tmp_path, columns={"image": "picture", "label": "kin"})
    )
    write(path, {"kind": ["a", "b", "c"]}, **columns)
    assert made_up(tmp_path).test().labels.tolist() == by_setting


def test_two_label_columns_are_refused_unless_the_class_names_decide(tmp_path: Path) -> None:
    path = tmp_path / "made_up" / "test.parquet"
    columns = {"img": pictures(0, 3), "fine_label": [2, 0, 1], "coarse_label": [1, 0, 0]}
    write(path, **columns)
    message = refused(made_up(tmp_path))
    assert message == (
        f"{path} has the label columns fine_label and coarse_label; set dataset.columns.label to one of them"
    )
    coarse = made_up(tmp_path, num_classes=2, columns={"label": "coarse_label"})
    assert sorted(coarse.test().labels.tolist()) == [0, 0, 1]

    write(path, {"fine_label": ["a", "b", "c"], "coarse_label": ["x", "y"]}, **columns)
    assert sorted(made_up(tmp_path).test().labels.tolist()) == [0, 1, 2]
    assert sorted(made_up(tmp_path, num_classes=2).test().labels.tolist()) == [0, 0, 1]
    assert "set dataset.columns.label" in refused(made_up(tmp_path, num_classes=5))
    write(path, {"fine_label": ["a", "b", "c"], "coarse_label": ["x", "y", "z"]}, **columns)
    assert "set dataset.columns.label" in refused(made_up(tmp_path))


def test_class_names_are_as_many_as_classes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "made_up" / "test.parquet", {"label": ["a", "b"]}, image=pictures(0, 2), label=[0, 1]
    )
    assert refused(made_up(tmp_path)) == (
        f"{path}: column label has 2 class names; the data set declares num_classes 3"
    )
    made_up(tmp_path, num_classes=2).check()


def test_a_broken_schema_description_is_no_description(tmp_path: Path) -> None:
    table = pa.table({"image": pictures(0, 2), "label": [0, 1]})
    for text in (
        "{",
        "[]",
        '{"info": null}',
        '{"info": {"features": []}}',
        '{"info": {"features": {"label": 1}}}',
    ):
        path = tmp_path / "made_up" / "test.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table.replace_schema_metadata({"huggingface": text}), path)
        made_up(tmp_path).check()


@pytest.mark.parametrize("columns", [{"images": "x"}, {"label": 3}])
def test_settings_of_columns_are_checked(tmp_path: Path, columns: Any) -> None:
    with pytest.raises(ConfigError, match="there are image and label, each a name or null"):
        made_up(tmp_path, columns=columns)


@pytest.mark.parametrize("folder", [".", "data", "plain_text"])
@pytest.mark.parametrize("ending", ["", "-0123456789abcdef"])
def test_shards_are_one_split_in_their_order(tmp_path: Path, folder: str, ending: str) -> None:
    place = tmp_path / "made_up" / folder
    for shard, (start, stop) in enumerate([(0, 3), (3, 4), (4, 9)]):
        write(
            place / f"test-{shard:05}-of-00003{ending}.parquet",
            img=pictures(start, stop),
            label=[row % 3 for row in range(start, stop)],
        )
    write(place / "train-00000-of-00001.parquet", img=pictures(0, 1), label=[0])
    dataset = made_up(tmp_path)
    dataset.check(("train", "test"))
    assert shades(dataset) == {row: row for row in range(9)}
    images = dataset.load("test", 4)
    assert torch.equal(images.labels, images.ids % 3)
    assert len(images) == 4


def test_shards_that_are_missing_or_mixed_are_refused(tmp_path: Path) -> None:
    def shard(name: str, folder: str = "data") -> Path:
        return write(tmp_path / "made_up" / folder / f"{name}.parquet", image=pictures(0, 1), label=[0])

    place = tmp_path / "made_up" / "data"
    shard("test-00001-of-00003")
    assert refused(made_up(tmp_path)) == (
        f"{place} lacks test-00000-of-00003.parquet, test-00002-of-00003.parquet"
    )
    for number in (0, 2):
        shard(f"test-{number:05}-of-00003")
    made_up(tmp_path).check()
    other = shard("test-00000-of-00001", "other")
    assert "test's shards are in each of" in refused(made_up(tmp_path))
    other.unlink()
    twice = shard("test-00001-of-00003-0123456789abcdef")
    assert "has 4 shards of test; it must have 3" in refused(made_up(tmp_path))
    twice.unlink()
    shard("test-00003-of-00004")
    assert "has shards of test of 3 and of 4" in refused(made_up(tmp_path))


def test_shards_with_other_columns_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "made_up"
    first = write(place / "test-00000-of-00002.parquet", image=pictures(0, 1), label=[0])
    second = write(place / "test-00001-of-00002.parquet", img=pictures(0, 1), label=[0])
    assert refused(made_up(tmp_path)) == f"{second} has other columns than {first}; they must be the same"


def test_a_broken_row_is_named_by_its_shard(tmp_path: Path) -> None:
    place = tmp_path / "made_up"
    write(place / "test-00000-of-00002.parquet", image=pictures(0, 3), label=[0, 1, 2])
    second = place / "test-00001-of-00002.parquet"
    write(second, image=pictures(0, 2), label=[0, 3])
    assert refused(made_up(tmp_path)) == f"{second}, row 1: the label is 3; it must be in 0..2"
    write(second, image=pictures(0, 2), label=[0, None])
    assert refused(made_up(tmp_path)) == f"{second}, row 1: the label is missing"
    broken = pa.array([{"bytes": b"garbage", "path": None}], IMAGE)
    write(second, image=broken, label=[0])
    with pytest.raises(ConfigError) as caught:
        made_up(tmp_path).test()
    assert str(caught.value).startswith(f"{second}, row 0: the image cannot be decoded")


def test_a_single_file_wins_over_shards_and_keeps_its_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "made_up" / "test.parquet", image=pictures(5, 6), label=[0])
    write(tmp_path / "made_up" / "data" / "test-00000-of-00001.parquet", image=pictures(0, 1), label=[0])
    assert shades(made_up(tmp_path)) == {0: 5}
    assert made_up(tmp_path).fingerprint("test") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_fingerprint_follows_every_shard_and_the_columns(tmp_path: Path) -> None:
    place = tmp_path / "made_up"
    first = write(place / "test-00000-of-00002.parquet", image=pictures(0, 3), a=[0, 1, 2], b=[0, 0, 0])
    second = write(place / "test-00001-of-00002.parquet", image=pictures(3, 4), a=[0], b=[0])
    by_a, by_b = ({"label": label} for label in ("a", "b"))
    before = made_up(tmp_path, columns=by_a).fingerprint("test")
    assert made_up(tmp_path, columns=by_b).fingerprint("test") != before
    table = second.read_bytes()
    second.write_bytes(first.read_bytes())
    assert made_up(tmp_path, columns=by_a).fingerprint("test") != before
    second.write_bytes(table)
    assert made_up(tmp_path, columns=by_a).fingerprint("test") == before
    assert len(before) == 64
    assert np.array_equal(sorted(shades(made_up(tmp_path, columns=by_a))), range(4))
