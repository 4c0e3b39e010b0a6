"""Memory that runs out halves the batch; the numbers stay, and the record says so."""

from itertools import chain

import pytest
import torch

from vqexp import results
from vqexp.core.errors import WorkError
from vqexp.core.halving import Halving
from vqexp.defenses import SwRD
from vqexp.pipeline import run

SETTINGS = (
    "scale=smoke",
    "dataset.n=24",
    "attack.batch_size=24",
    "training.epochs=1",
    "attack=pgd",
    "adversary=ste",
)
FULL = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: 8 bytes"


def test_a_batch_that_does_not_fit_is_halved_until_it_does():
    sizes, halving = [], Halving()

    def work(rows):
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(rows.start, rows.stop))

    assert halving.over("attack", 10, work, lambda parts: list(chain(*parts))) == list(range(10))
    assert sizes == [10, 5, 3, 3, 3, 1]
    assert halving.at_once == {"attack": 3}
    with pytest.raises(WorkError, match="batch of 8; it is not halved, because of its noise; lower"):
        Halving().over("attack", 8, work, sum, depends=lambda: ["its noise"])


def test_another_fault_is_raised_as_it_is():
    def work(rows):
        raise RuntimeError("shapes do not agree")

    with pytest.raises(RuntimeError, match="shapes do not agree"):
        Halving().over("attack", 8, work, sum)


def test_one_image_that_does_not_fit_is_said_in_one_line():
    def work(rows):
        raise MemoryError

    with pytest.raises(WorkError, match=r"out of memory in a batch of 1; lower attack\.batch_size"):
        Halving().over("attack", 8, work, sum)


def test_a_run_that_runs_out_of_memory_ends_with_the_same_numbers(config, tmp_path, monkeypatch):
    run(config(*SETTINGS, root=tmp_path / "whole"))
    forward = SwRD.forward

    def small(self, images, draw=None):
        if len(images) > 16:
            raise RuntimeError(FULL)
        return forward(self, images, draw)

    monkeypatch.setattr(SwRD, "forward", small)
    run(config(*SETTINGS, root=tmp_path / "halved"))
    (whole,), (halved,) = (results.records(tmp_path / name) for name in ("whole", "halved"))
    assert (halved.key, halved.metrics) == (whole.key, whole.metrics)
    assert whole.provenance.images_at_once == {}
    assert halved.provenance.images_at_once == {"attack": 12, "draws": 12}
