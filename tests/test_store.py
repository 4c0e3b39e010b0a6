"""The artifact store: atomic, checksummed, locked, shared by processes."""

import errno
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from filelock import SoftFileLease

from vqexp.core import lease
from vqexp.core.atomic import write_atomically
from vqexp.core.errors import ConfigError, WorkError
from vqexp.core.keys import key_of
from vqexp.core.store import Artifact, Job, Store


def artifact(value: float = 1.0) -> Artifact:
    tensors = {"a": torch.full((2, 3), value), "b": torch.tensor([True, False]), "c": torch.tensor(7)}
    return Artifact(tensors, {"note": "ä"})


def test_round_trip(tmp_path):
    store = Store(tmp_path)
    made = store.fetch(Job("kind", "key", artifact))
    found = store.load("kind", "key")
    assert found is not None
    assert all(torch.equal(found.tensors[name], made.tensors[name]) for name in ("a", "b", "c"))
    assert found.facts["note"] == "ä"
    assert found.facts["seconds"] >= 0
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["key.safetensors"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="shows what is mapped on Linux alone")
def test_a_small_tensor_that_is_kept_does_not_keep_its_whole_file_in_memory(tmp_path):
    store = Store(tmp_path)
    large = Artifact({"images": torch.zeros(2**18), "perturbed": torch.ones(4)})
    store.fetch(Job("kind", "key", lambda: large))
    found = store.load("kind", "key")
    assert found is not None
    del found.tensors["images"]
    assert str(store.path("kind", "key")) not in Path("/proc/self/maps").read_text()
    assert float(found.tensors["perturbed"].sum()) == 4


def test_a_finished_artifact_is_not_computed_again(tmp_path):
    store, calls = Store(tmp_path), []
    for _ in range(3):
        store.fetch(Job("kind", "key", lambda: calls.append(1) or artifact()))
    assert len(calls) == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_artifact_is_noticed_and_made_again(tmp_path, damage, capsys):
    store = Store(tmp_path)
    store.fetch(Job("kind", "key", artifact))
    path = store.path("kind", "key")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-1] ^= 1
    path.write_bytes({"truncated": data[:-5], "flipped": data, "empty": b"", "text": b"not it"}[damage])
    assert store.load("kind", "key") is None
    again = store.fetch(Job("kind", "key", lambda: artifact(2.0)))
    assert float(again.tensors["a"][0, 0]) == 2.0
    assert "damaged" in capsys.readouterr().err


def test_keys_depend_on_every_part_but_not_on_the_order_of_names():
    assert key_of({"a": 1, "b": [2, None]}) == key_of({"b": [2, None], "a": 1})
    keys = {
        key_of(part) for part in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, [1], 1)
    }
    assert len(keys) == 8


def test_a_failed_computation_leaves_nothing_but_a_free_key(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.fetch(Job("kind", "key", lambda: 1 / 0))
    assert store.load("kind", "key") is None
    assert store.fetch(Job("kind", "key", artifact)).facts["note"] == "ä"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkError, match="the disk is full") as caught:
        write_atomically(tmp_path / "file", b"data")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_store_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"not writable .*store\.root=DIR"):
        Store(tmp_path / "file" / "store").check()


def test_what_a_process_killed_while_it_wrote_left_is_removed(tmp_path):
    store = Store(tmp_path)
    store.fetch(Job("kind", "other", artifact))
    left = store.path("kind", "key").with_name(".key.safetensors.123")
    left.write_bytes(b"half")
    store.fetch(Job("kind", "key", artifact))
    assert sorted(path.name for path in left.parent.iterdir()) == ["key.safetensors", "other.safetensors"]


def _worker(root, log, keys):
    def compute(key):
        with open(log, "a") as file:
            file.write(f"{key}\n")
        time.sleep(0.05)
        return artifact()

    jobs = [Job("kind", key, lambda key=key: compute(key)) for key in keys]
    found = dict(Store(root).fetch_all(jobs))
    assert sorted(found) == list(range(len(keys)))


def test_two_processes_share_the_work_and_do_nothing_twice(tmp_path):
    keys = [f"key{i}" for i in range(12)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_worker, args=(tmp_path, tmp_path / "log", keys)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted((tmp_path / "log").read_text().split()) == sorted(keys)


def _stuck(root):
    Store(root).fetch(Job("kind", "key", lambda: time.sleep(60)))


def test_a_killed_process_leaves_its_key_free(tmp_path):
    worker = multiprocessing.get_context("fork").Process(target=_stuck, args=(tmp_path,))
    worker.start()
    lock = tmp_path / "kind" / "key.lock"
    deadline = time.monotonic() + 30
    while not (lock.exists() and lock.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.exists()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(30)
    assert Store(tmp_path).fetch(Job("kind", "key", artifact)).facts["note"] == "ä"


def test_an_artifact_in_anothers_place_is_not_taken(tmp_path, capsys):
    """Whole as it is: its checksum covers its kind and its key."""
    store = Store(tmp_path)
    for kind, key in (("a", "one"), ("a", "two"), ("b", "one")):
        store.fetch(Job(kind, key, lambda: Artifact({"x": torch.ones(3)})))
    store.path("a", "two").write_bytes(store.path("a", "one").read_bytes())
    store.path("b", "one").write_bytes(store.path("a", "one").read_bytes())
    assert store.load("a", "one") is not None
    assert store.load("a", "two") is None
    assert store.load("b", "one") is None
    assert capsys.readouterr().err.count("not what its name says") == 2


def _held(lock, host):
    """A lease file as a process of another machine, or of this one, would write it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    other = SoftFileLease(lock.with_suffix(".other"), lease_duration=lease.LEASE)
    with other:
        text = Path(other.lock_file).read_text()
    lock.write_text(text.replace(f"host={socket.gethostname()}", f"host={host}"))


def test_a_lease_of_another_machine_is_waited_for_and_taken_over_when_it_expires(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE", 1.0)
    _held(tmp_path / "kind" / "key.lock", "elsewhere")
    assert "host=elsewhere" in (tmp_path / "kind" / "key.lock").read_text()
    assert not lease.Lease(tmp_path / "kind" / "key.lock").acquire(wait=False)
    start = time.monotonic()
    Store(tmp_path).fetch(Job("kind", "key", artifact))
    assert time.monotonic() - start > 0.9
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["key.safetensors"]


def test_a_lease_whose_maker_died_before_it_wrote_it_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "UNWRITTEN", 0.5)
    lock = tmp_path / "key.lock"
    lock.touch()
    mine = lease.Lease(lock)
    assert not mine.acquire(wait=False)  # it may be about to write
    start = time.monotonic()
    assert mine.acquire(wait=True)
    assert time.monotonic() - start < lease.LEASE / 10


def test_a_lease_that_is_renewed_is_not_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE", 1.0)
    lock = tmp_path / "key.lock"
    _held(lock, "elsewhere")
    mine = lease.Lease(lock)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        os.utime(lock)
        assert not mine.acquire(wait=False)
        time.sleep(0.1)


def test_a_worker_of_which_a_lease_was_taken_makes_the_same_and_goes_on(tmp_path):
    """It was stopped for too long: both write the artifact, which is whole at any time."""

    def compute():
        lock = tmp_path / "kind" / "key.lock"
        lock.unlink()
        _held(lock, "elsewhere")
        return artifact()

    assert Store(tmp_path).fetch(Job("kind", "key", compute)).facts["note"] == "ä"
    assert Store(tmp_path).load("kind", "key") is not None
    assert "host=elsewhere" in (tmp_path / "kind" / "key.lock").read_text()


def test_a_lease_that_nobody_came_to_write_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE", 0.5)
    monkeypatch.setattr(lease, "UNWRITTEN", 3.0)
    lock = tmp_path / "kind" / "key.lock"
    lock.parent.mkdir()
    lock.touch()
    assert not lease.Lease(lock).acquire(wait=False)
    assert Store(tmp_path).fetch(Job("kind", "key", artifact)).facts["note"] == "ä"
