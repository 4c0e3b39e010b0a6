"""The artifact store: every stage's output under a key, checksummed, atomic, locked.

An artifact is one safetensors file whose metadata holds the stage's facts (JSON) and a checksum. A
finished one is never computed again. Who computes one holds its lease (`vqexp.core.lease`), which others take
over when its process dies, so a run that is killed, or shared by workers on one machine or several, resumes
where it was.
"""

import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vqexp.core.atomic import faults, remove_leftovers, write_atomically
from vqexp.core.errors import ConfigError, one_line
from vqexp.core.lease import Lease
from vqexp.core.places import is_remote, is_storages, local_copy, make_folder, place


@dataclass
class Artifact:
    """A stage's output: named tensors and plain facts. `facts["seconds"]` is what it took to compute."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One artifact to be had: `compute` is called only when the store lacks it.

    tensors: names of those that whoever asks for it needs.
    """

    kind: str
    key: str
    compute: Callable[[], Artifact]
    tensors: Collection[str] = ()


def default_root() -> Path:
    """The store: `VQEXP_HOME`, or `results/store`."""
    return place(os.environ.get("VQEXP_HOME") or "results/store")


class Store:
    """Artifacts and records in one folder or object storage, which several processes may share."""

    def __init__(self, root: str | Path) -> None:
        self.root = place(root)

    def check(self) -> None:
        """Create the root; raise `ConfigError` if it can neither be written nor holds records to read."""
        probe = self.root / f".probe-{os.getpid()}"
        try:
            make_folder(self.root)
            probe.write_bytes(b"probe")
            probe.unlink()
        except Exception as error:
            if not isinstance(error, OSError) and not is_storages(error):
                raise
            if is_remote(self.root) or not (self.root / "records").is_dir():
                reason = getattr(error, "strerror", None) or one_line(error)
                raise ConfigError(
                    f"store.root={self.root} is not writable ({reason}); "
                    "name a writable folder with store.root=DIR or VQEXP_HOME"
                ) from None

    def path(self, kind: str, key: str) -> Path:
        """Where the artifact is or will be."""
        return self.root / kind / f"{key}.safetensors"

    def load(self, kind: str, key: str) -> Artifact | None:
        """The artifact, or None if there is none; a broken one is reported and counts as none.

        Raises `WorkError` for one that may not be read, or a folder in its place.
        """
        path = self.path(kind, key)
        if not path.exists():
            return None
        with faults(f"{path} cannot be read"), path.open("rb"):
            pass
        try:
            with local_copy(path) as copy, safe_open(copy, framework="pt") as file:
                # copies: a tensor of the file would keep all of it mapped into memory
                tensors = {name: file.get_tensor(name).clone() for name in sorted(file.keys())}
                metadata = file.metadata() or {}
            if metadata.get("checksum") == _checksum(kind, key, tensors, metadata.get("facts", "")):
                return Artifact(tensors, json.loads(metadata["facts"]))
        except (SafetensorError, OSError, ValueError):
            pass
        print(f"{path} is damaged, or not what its name says; it is made again", file=sys.stderr)
        return None

    def _wanted(self, job: Job) -> Artifact | None:
        """The artifact of `job`; None if there is none, or one without a tensor that is needed."""
        artifact = self.load(job.kind, job.key)
        lacking = sorted(set(job.tensors) - set(artifact.tensors)) if artifact else []
        if lacking:
            print(f"{self.path(job.kind, job.key)} has no {lacking[0]}; it is made again", file=sys.stderr)
            return None
        return artifact

    def fetch(self, job: Job) -> Artifact:
        """The artifact of `job`, computed if need be."""
        return next(self.fetch_all([job]))[1]

    def fetch_all(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Artifact]]:
        """(index, artifact) of every job, as they become available.

        Jobs that another process is computing are left to it and asked for again at the end.
        """
        left: list[int] = []
        for last_round, indices in ((False, range(len(jobs))), (True, left)):
            for index in indices:
                job = jobs[index]
                artifact = self._wanted(job)
                if artifact is None:
                    artifact = self._compute(job, wait=last_round)
                if artifact is None:
                    left.append(index)
                else:
                    yield index, artifact

    def _compute(self, job: Job, wait: bool) -> Artifact | None:
        """Compute under the key's lease; None if another process holds it and `wait` is false."""
        path = self.path(job.kind, job.key)
        lock_path = path.with_suffix(".lock")
        lease = Lease(lock_path)
        with faults(f"{path.parent} cannot be written"):
            make_folder(path.parent)
            if not is_remote(lock_path) and lock_path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{lock_path.name} is a folder; remove it")
            if not lease.acquire(wait):
                return None
        try:
            artifact = self._wanted(job)
            if artifact is None:
                remove_leftovers(path, 0)  # under the lease nobody else writes
                start = time.perf_counter()
                artifact = job.compute()
                artifact.tensors = {name: t.contiguous().cpu() for name, t in artifact.tensors.items()}
                artifact.facts.setdefault("seconds", time.perf_counter() - start)
                self._write(job, artifact)
            return artifact
        finally:
            lease.release()

    def _write(self, job: Job, artifact: Artifact) -> None:
        facts = json.dumps(artifact.facts)
        metadata = {"facts": facts, "checksum": _checksum(job.kind, job.key, artifact.tensors, facts)}
        write_atomically(self.path(job.kind, job.key), save(artifact.tensors, metadata))


def _checksum(kind: str, key: str, tensors: dict[str, Tensor], facts: str) -> str:
    """Over all that an artifact holds, and over its name: a whole one in another's place is not it."""
    digest = hashlib.sha256(f"{kind} {key} {facts}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
