"""Damaging artifacts and records at random places: it is noticed, or changes nothing."""

import contextlib
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from records import estimate, record

from vqexp.core.errors import ConfigError
from vqexp.core.store import Artifact, Job, Store
from vqexp.pipeline.reading import read, sealed


@dataclass(frozen=True)
class Damaged:
    """tried: how many times. harmless: how often the contents were the same. unnoticed: how often not."""

    tried: int
    harmless: int
    unnoticed: int


def damaged(data: bytes, chance: random.Random) -> bytes:
    """`data` with a bit flipped, a byte replaced, cut off, or something put in."""
    place = chance.randrange(len(data))
    how = chance.randrange(4)
    if how == 0:
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
    if how == 1:
        return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
    return data[:place] if how == 2 else data[:place] + chance.randbytes(3) + data[place:]


def damage_artifacts(folder: Path, times: int, seed: int = 0) -> Damaged:
    """Damages one artifact again and again."""
    store, chance = Store(folder), random.Random(seed)
    tensors = {"images": torch.rand(2, 1, 4, 4), "fooled": torch.tensor([True, False])}
    whole = store.fetch(Job("kind", "key", lambda: Artifact(tensors, {"log": "ä"})))
    path = store.path("kind", "key")
    data, harmless, unnoticed = path.read_bytes(), 0, 0
    for _ in range(times):
        path.write_bytes(damaged(data, chance))
        with contextlib.redirect_stderr(io.StringIO()):
            found = store.load("kind", "key")
        if found is not None:
            same = found.facts == whole.facts and set(found.tensors) == set(tensors)
            same = same and all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)
            harmless, unnoticed = harmless + same, unnoticed + (not same)
    return Damaged(times, harmless, unnoticed)


def damage_records(folder: Path, times: int, seed: int = 0) -> Damaged:
    """Damages one record again and again."""
    chance, path = random.Random(seed), folder / "record.json"
    data = json.dumps(sealed(record(metrics={"natural_accuracy": estimate()}).plain()), indent=1).encode()
    path.write_bytes(data)
    whole, harmless, unnoticed = read(path).plain(), 0, 0
    for _ in range(times):
        path.write_bytes(damaged(data, chance))
        try:
            same = read(path).plain() == whole
        except ConfigError:
            continue
        harmless, unnoticed = harmless + same, unnoticed + (not same)
    return Damaged(times, harmless, unnoticed)
