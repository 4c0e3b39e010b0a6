"""A store in object storage: S3, as moto's server speaks it."""

import json
import multiprocessing
import os
import sys
import time

import boto3
import pytest
import torch
from command_line import called
from conftest import QUICK_F, run_cli
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from vqexp.core import object_lease
from vqexp.core.atomic import write_atomically
from vqexp.core.errors import ConfigError, MissingError, WorkError
from vqexp.core.lease import Lease
from vqexp.core.places import is_remote, local_folder, place, read_bytes
from vqexp.core.store import Artifact, Job, Store
from vqexp.results import load

RUN = [*QUICK_F, "scale=smoke", "dataset.n=24", "attack.batch_size=12"]


@pytest.fixture(scope="module")
def server():
    """The server's address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def root(server, monkeypatch, tmp_path, request):
    """A bucket of the test's own, and a prefix in it."""
    S3FileSystem.clear_instance_cache()  # which has the address of the last test
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{tmp_path.name.replace('_', '-').lower()}"[:60]
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/store"


def artifact(value: float = 1.0) -> Artifact:
    return Artifact({"a": torch.full((2, 3), value), "b": torch.tensor([True, False])}, {"note": "ä"})


def test_round_trip(root):
    store = Store(root)
    store.check()
    store.fetch(Job("kind", "key", artifact))
    found = Store(root).fetch(Job("kind", "key", lambda: pytest.fail("made again")))
    assert torch.equal(found.tensors["a"], torch.ones(2, 3))
    assert found.facts["note"] == "ä"
    assert [path.name for path in (place(root) / "kind").iterdir()] == ["key.safetensors"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_object_is_noticed_and_made_again(root, damage, capsys):
    store = Store(root)
    store.fetch(Job("kind", "key", artifact))
    path = store.path("kind", "key")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes({"truncated": bytes(data[:-5]), "flipped": bytes(data), "empty": b""}[damage])
    assert float(store.fetch(Job("kind", "key", lambda: artifact(2.0))).tensors["a"][0, 0]) == 2.0
    assert f"{path} is damaged" in capsys.readouterr().err


@pytest.mark.trains
def test_the_second_of_two_runs_computes_nothing(root, monkeypatch):
    status, out, err = run_cli(*RUN, store=root)
    assert status == 0, err
    record = out.split()[-1]
    assert record.startswith(f"{root}/records/")
    assert place(record).exists()
    monkeypatch.setattr(
        Store, "_compute", lambda self, job, wait: pytest.fail(f"{job.kind} is computed again")
    )
    status, again, err = run_cli(*RUN, store=root)
    assert status == 0, err
    assert again.split()[-1] == record


def test_a_sweep_leaves_its_records_there_and_nothing_in_the_working_folder(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status, _, err = run_cli("-m", *RUN, "defense=swrd,prd", store=root)
    assert status == 0, err
    records = sorted((place(root) / "records").glob("*.json"))
    assert len(records) == 2
    assert set(load(root)["defense"]) == {"swRD", "pRD"}
    status, out, err = called("vqexp", "compare", *map(str, records))
    assert status == 0, err
    assert "robust accuracy" in out
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", "store"}


def test_only_one_holds_a_lease_and_gives_it_back(root):
    first, second = (Lease(place(root) / "key.lock") for _ in range(2))
    assert first.acquire(wait=False)
    assert not second.acquire(wait=False)
    first.release()
    assert second.acquire(wait=False)
    first.release()  # which it does not hold any more
    assert not first.acquire(wait=False)
    second.release()
    assert not (place(root) / "key.lock").exists()


def test_a_lease_of_a_process_that_died_here_is_taken_over_at_once(root):
    path = place(root) / "key.lock"
    dead = multiprocessing.get_context("fork").Process(target=lambda: None)
    dead.start()
    dead.join()
    told = {"host": object_lease.socket.gethostname(), "pid": dead.pid, "owner": "x", "number": 3}
    path.write_bytes(json.dumps(told).encode())
    lease = Lease(path)
    assert lease.acquire(wait=False)
    lease.release()


def test_a_silent_lease_of_another_machine_is_taken_over_after_a_while(root, monkeypatch):
    path = place(root) / "key.lock"
    told = {"host": "elsewhere", "pid": os.getpid(), "owner": "x", "number": 3}
    path.write_bytes(json.dumps(told).encode())
    lease = Lease(path)
    assert not lease.acquire(wait=False)
    monkeypatch.setattr(object_lease, "LEASE", 0.2)
    path.write_bytes(json.dumps({**told, "number": 4}).encode())  # a sign of life
    time.sleep(0.3)
    assert not lease.acquire(wait=False)
    time.sleep(0.3)
    assert lease.acquire(wait=False)
    lease.release()


def test_a_holder_that_was_taken_for_dead_leaves_the_lease_to_the_other(root, monkeypatch):
    monkeypatch.setattr(object_lease, "LEASE", 0.3)
    path = place(root) / "key.lock"
    lease = Lease(path)
    assert lease.acquire(wait=False)
    others = json.dumps({"host": "elsewhere", "pid": 1, "owner": "x", "number": 0}).encode()
    path.write_bytes(others)
    time.sleep(0.4)
    lease.release()
    assert path.read_bytes() == others


def test_a_holder_gives_signs_of_life(root, monkeypatch):
    monkeypatch.setattr(object_lease, "LEASE", 0.3)
    path = place(root) / "key.lock"
    lease = Lease(path)
    assert lease.acquire(wait=False)
    time.sleep(0.6)
    assert json.loads(read_bytes(path))["number"] > 0
    lease.release()


def work(root, log, environment):
    """A process: eight artifacts, each noted in the file `log` by whoever makes it."""
    os.environ.update(environment)

    def make(key):
        with open(log, "a") as file:
            file.write(f"{key} {os.getpid()}\n")
        time.sleep(0.5)
        return artifact()

    jobs = [Job("kind", str(key), lambda key=key: make(key)) for key in range(8)]
    assert len(list(Store(root).fetch_all(jobs))) == 8


def test_two_processes_share_the_work(root, tmp_path):
    log = tmp_path / "log"
    processes = multiprocessing.get_context("forkserver")  # a fork of this one has threads that wait
    processes.set_forkserver_preload(["vqexp.core.store", "vqexp.results", "s3fs", "moto.server"])
    started = [processes.Process(target=work, args=(root, str(log), dict(os.environ))) for _ in range(2)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    assert [each.exitcode for each in started] == [0, 0]
    made = [line.split() for line in log.read_text().splitlines()]
    assert sorted(key for key, _ in made) == [str(key) for key in range(8)]  # nothing is made twice
    assert len({pid for _, pid in made}) == 2


def test_what_is_wrong_is_said_in_one_line(root, monkeypatch):
    with pytest.raises(ConfigError, match="no folder, nor storage that fsspec knows"):
        place("nowhere://bucket")
    with pytest.raises(ConfigError, match=r"store\.root=s3://no-such-bucket/x is not writable \(.*not exist"):
        Store("s3://no-such-bucket/x").check()
    with pytest.raises(WorkError, match="cannot be written"):
        write_atomically(place("s3://no-such-bucket/x/file"), b"data")
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(MissingError, match=r"pip install 'vqexp\[s3\]'"):
        place("s3://bucket/store")


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_storage_that_is_not_reached_is_one_line(root, monkeypatch, sweep):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    status, _, err = run_cli(*sweep, *RUN, store=root)
    assert status in (1, 2)
    assert "Could not connect" in err
    assert "Traceback" not in err


def test_what_is_written_piece_by_piece_is_on_this_machine(root, tmp_path):
    assert local_folder(tmp_path) == tmp_path
    assert local_folder(root).is_relative_to(tmp_path / "cache")
    assert is_remote(place(root))
