"""What numbers do not depend on: the size of batches on one thread; the number of threads, but for rounding.

Other processes are tried in `test_launchers`, shards in `test_shards`.
"""

from contextlib import contextmanager

import pytest
import torch

from vqexp.core.store import Store
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.stages import Stages

CHOSEN = ["dataset.n=14", "attack=pgd", "adversary=eot", "training.epochs=1", "classifier.width=4"]
# between one thread and two: of logits, and of the pixels of attacked images that differ at all
ROUNDING, PIXELS = 1e-4, 0.02


@contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def images(settings):
    """The adversarial images of a run, all chunks."""
    stages = Stages(prepare(settings))
    return torch.cat([stages.inputs(index, True) for index in range(len(stages.chunks))])


@pytest.mark.parametrize("size", [7, 14])
def test_the_size_of_batches_changes_no_number(config, store, size):
    settings = [config(*CHOSEN, f"attack.batch_size={each}") for each in (4, size)]
    records = [read(run(each)) for each in settings]
    assert records[0].metrics == records[1].metrics
    assert torch.equal(*map(images, settings))
    counts = [Store(store).load("counts", record.key).tensors for record in records]
    assert counts[0].keys() == counts[1].keys()
    assert [name for name in counts[0] if not torch.equal(counts[0][name], counts[1][name])] == []


def test_another_number_of_threads_changes_what_rounding_changes(config, store, tmp_path):
    one, two = (config(*CHOSEN, root=root) for root in (store, tmp_path))
    with threads(1):
        first = read(run(one))
        clean = Stages(prepare(one)).evaluate(adversarial=False, defended=True, purpose="report", runs=2)
        found = images(one)
    with threads(2):
        other = read(run(two))
        again = Stages(prepare(two)).evaluate(adversarial=False, defended=True, purpose="report", runs=2)
        changed = (images(two) - found).abs() > ROUNDING
    assert (again.margin - clean.margin).abs().max() <= ROUNDING
    assert changed.float().mean() <= PIXELS
    for name, estimate in first.metrics.items():
        assert abs(estimate.mean - other.metrics[name].mean) <= 1 / 14 + 1e-9, name
