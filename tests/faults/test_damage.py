"""Damage on disk is named in one line, and nothing that is whole is lost with it."""

import csv
import errno
import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from damage import damage_artifacts, damage_records
from matplotlib import pyplot as plt
from records import record

from vqexp import results
from vqexp.audits.members import load_audit
from vqexp.core.atomic import write_atomically
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError, WorkError
from vqexp.core.plot import save
from vqexp.core.store import Artifact, Job, Store
from vqexp.pipeline import prepare, run
from vqexp.pipeline.reading import record_from
from vqexp.reports.render.kept import audits_text, kept_audits, measurements
from vqexp.reports.spec.choices import read_settings

PUBLISHED = CONF.parent / "results"
SETTINGS = ["scale=smoke", "training.epochs=1", "attack=fgsm", "dataset.n=4"]


def made() -> Artifact:
    return Artifact({"a": torch.ones(3)})


# the store


def test_an_artifact_without_a_tensor_that_is_needed_is_named_and_made_again(tmp_path, capsys):
    store = Store(tmp_path)
    store.fetch(Job("kind", "key", made))
    again = Job("kind", "key", lambda: Artifact({"a": torch.ones(3), "b": torch.ones(1)}), ("a", "b"))
    assert set(store.fetch(again).tensors) == {"a", "b"}
    assert f"{store.path('kind', 'key')} has no b; it is made again" in capsys.readouterr().err
    assert set(store.fetch(again).tensors) == {"a", "b"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ending", [".safetensors", ".lock"])
def test_a_folder_in_the_place_of_a_file_is_said_before_the_work(tmp_path, ending):
    (tmp_path / "kind" / f"key{ending}").mkdir(parents=True)
    with pytest.raises(WorkError, match=r"(?i)is a (directory|folder)"):
        Store(tmp_path).fetch(Job("kind", "key", lambda: pytest.fail("it was computed")))


def test_an_unreadable_artifact_is_called_unreadable(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.fetch(Job("kind", "key", made))

    def refused(*arguments, **settings):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(WorkError, match=r"key\.safetensors cannot be read: Permission denied"):
        store.load("kind", "key")


def test_a_finished_store_is_read_where_nothing_can_be_written(config, tmp_path, monkeypatch):
    chosen = config(*SETTINGS, root=tmp_path / "store")
    path = run(chosen)

    def read_only(*arguments, **settings):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        for name in ("replace", "mkdir", "unlink"):
            patch.setattr(os, name, read_only)
        patch.setattr(Path, "write_bytes", read_only)
        assert run(chosen) == path
        with pytest.raises(WorkError, match="Read-only file system"):
            run(config(*SETTINGS, "attack.eps=0.01", root=tmp_path / "store"))
        with pytest.raises(ConfigError, match="not writable"):
            prepare(config(*SETTINGS, root=tmp_path / "another"))


@pytest.mark.parametrize("damage", ["", "{", '{"reported": 5}'])
def test_a_damaged_record_is_named_and_made_again(config, tmp_path, capsys, damage):
    chosen = config(*SETTINGS, root=tmp_path / "store")
    path = run(chosen)
    whole = results.records(tmp_path / "store")
    path.write_text(damage)
    assert run(chosen) == path
    err = capsys.readouterr().err
    assert f"{path} is no record of a run, or damaged" in err
    assert "it is made again" in err
    again = results.records(tmp_path / "store")
    assert [each.metrics for each in again] == [each.metrics for each in whole]


def test_damage_is_noticed_or_changes_nothing(tmp_path):
    assert damage_artifacts(tmp_path, 200).unnoticed == 0
    assert damage_records(tmp_path, 200).unnoticed == 0


# what is committed


def test_a_report_goes_on_from_what_is_whole(tmp_path, capsys):
    """An odd record of the store is left out; of a damaged published file a copy stays."""
    store, folder = tmp_path / "store", tmp_path / "results"
    (store / "records").mkdir(parents=True)
    folder.mkdir()
    (store / "records" / "odd.json").write_text('{"reported": 5}')
    whole = (PUBLISHED / "records.jsonl.gz").read_bytes()
    lines = gzip.decompress(whole).splitlines()[:20]
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(b"\n".join([*lines, b'{"key": "broken"'])))
    assert len(measurements(store, folder)) == 20
    err = capsys.readouterr().err
    assert "odd.json is no record of a run, or damaged" in err
    assert "line 21, is no record of a run, or damaged" in err
    assert (folder / "records.jsonl.gz.damaged").read_bytes() == (folder / "records.jsonl.gz").read_bytes()


def test_a_damaged_line_of_audits_is_left_out_and_kept_aside(tmp_path, capsys):
    audit = load_audit(read_settings(CONF / "table" / "audit.yaml"))
    shutil.copytree(PUBLISHED / "audits", tmp_path / "audits")
    shutil.copy(PUBLISHED / "audits.csv", tmp_path)
    pages = kept_audits(tmp_path, audit)
    path = tmp_path / "audits.csv"
    path.write_text(audits_text(pages))
    assert kept_audits(tmp_path, audit) == pages
    assert not (tmp_path / "audits.csv.damaged").exists()
    name, page = next(iter(pages.items()))
    with path.open(newline="") as file:
        assert next(csv.DictReader(file))["checksum"]
    path.write_text(path.read_text().replace(f"{name},{page.head['verdict']}", f"{name},NO BREAK FOUND", 1))
    assert list(kept_audits(tmp_path, audit)) == list(pages)[1:]
    assert "its checksum is not that of its contents" in capsys.readouterr().err
    assert (tmp_path / "audits.csv.damaged").read_text() == path.read_text()


def test_a_record_says_what_it_lacks():
    with pytest.raises(ConfigError, match=r"it has no dataset\.name"):
        record_from(json.dumps(record({"dataset": {"n": 3}}).plain()), "it")


# the disk


@pytest.mark.trains
def test_room_made_on_a_full_disk_lets_a_training_go_on(config, tmp_path, monkeypatch):
    """It fails in one line in the middle, leaves no half file, and ends as if nothing had been."""
    settings = ["scale=smoke", "training.epochs=2", "attack=none", "dataset.n=4", "training.lr=0.02"]
    fsync, room = os.fsync, 1

    def full(file):
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    root = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WorkError, match=r"training/\w+\.pt cannot be written: the disk is full"):
            run(config(*settings, root=root))
    assert [path.suffix for path in (root / "training").iterdir()] == [".pt"]  # of the first epoch
    run(config(*settings, root=root))
    assert not list((root / "training").iterdir())
    run(config(*settings, root=tmp_path / "undisturbed"))
    one, other = results.records(root)[0], results.records(tmp_path / "undisturbed")[0]
    assert (one.key, one.metrics) == (other.key, other.metrics)


def test_what_a_killed_process_left_beside_a_file_is_removed_once_it_is_old(tmp_path):
    old, new = tmp_path / ".file.md.1", tmp_path / ".file.md.2"
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    write_atomically(tmp_path / "file.md", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.md.2", "file.md"]


def test_a_drawing_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    canvas = plt.figure()
    paths = save(canvas, tmp_path / "figures" / "a")
    before = [path.read_bytes() for path in paths]

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match=r"a\.pdf cannot be written: the disk is full"):
        save(plt.figure(), tmp_path / "figures" / "a")
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["a.pdf", "a.png"]
