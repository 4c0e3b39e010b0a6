"""Streams: the right distributions, and nothing in common between any two of them."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from scipy import stats

from vqexp.core.draws import PURPOSES, Draw, Streams
from vqexp.core.errors import ConfigError

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
on_each_device = pytest.mark.parametrize("device", DEVICES)


def streams(ids, purpose="report", number=0, seed=0, device="cpu", place=0):
    return Streams(seed, Draw(purpose, number, torch.as_tensor(ids), place), torch.device(device))


@on_each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_normal_and_uniform_numbers(device, dtype):
    source = streams([3, 5], device=device)
    for name, draw in (("norm", source.normal), ("uniform", source.uniform)):
        found = draw((100, 500), dtype)
        assert found.shape == (2, 100, 500)
        assert found.dtype == dtype
        if dtype != torch.bfloat16:  # whose steps are too coarse for the test
            assert stats.kstest(found.flatten().cpu().double().numpy(), name).pvalue > 0.01
        else:
            assert found.float().std().item() == pytest.approx(1 if name == "norm" else 12**-0.5, abs=0.01)


@on_each_device
def test_subsets_are_uniform_and_without_repetition(device):
    found = streams(range(4000), device=device).subset(12, 5).cpu()
    assert (found.sort(1).values.diff(dim=1) > 0).all()
    members = torch.zeros(4000, 12, dtype=torch.float64).scatter_(1, found, 1)
    together = members.T @ members / 4000  # how often two numbers are drawn together, or one (diagonal)
    expected = torch.full((12, 12), 5 * 4 / (12 * 11), dtype=torch.float64).fill_diagonal_(5 / 12)
    assert ((together - expected).abs() < 5 * (expected * (1 - expected) / 4000).sqrt()).all()


@on_each_device
def test_streams_have_nothing_in_common(device):
    """All pairs over purposes, draws, ids, seeds and places, mixed-up ones (seed 1, id 0 and 0, 1) too."""
    size = 20_000
    rows = [
        streams([image_id], purpose, number, seed, device, place).uniform((size,), torch.float64)[0].cpu()
        for purpose, number, image_id, seed, place in product(PURPOSES, (0, 1), (0, 1), (0, 1), (0, 1))
    ]
    correlation = np.corrcoef(torch.stack(rows).numpy())
    assert len(rows) == 128
    assert abs(correlation[np.triu_indices(128, 1)]).max() < 5.5 / size**0.5
    assert all(len(np.intersect1d(a, b)) == 0 for a, b in combinations(rows[:16], 2))  # nor shifted


def test_the_numbers_of_purposes_never_change():
    """Published results rest on them."""
    assert PURPOSES == {
        "call": 0,
        "train": 1,
        "attack": 2,
        "select": 3,
        "report": 4,
        "rank": 5,
        "guess": 6,
        "certify": 7,
    }


@on_each_device
def test_the_same_normal_numbers_for_every_dtype(device):
    float32 = streams([3, 8], device=device).normal((50,), torch.float32)
    for dtype in (torch.float64, torch.bfloat16):
        assert torch.equal(streams([3, 8], device=device).normal((50,), dtype), float32.to(dtype))


@on_each_device
def test_a_stream_depends_on_nothing_else(device):
    """Neither on the other images of the batch nor on their order."""
    together = streams(range(50), device=device)
    normal = together.normal((7, 3), torch.float32)
    subset = together.subset(20, 4)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    for rows in order.split(8):
        part = streams(rows, device=device)
        assert torch.equal(part.normal((7, 3), torch.float32), normal[rows])
        assert torch.equal(part.subset(20, 4), subset[rows])


@on_each_device
def test_consecutive_reads_differ(device):
    source = streams([0], device=device)
    assert not torch.equal(source.normal((9,), torch.float32), source.normal((9,), torch.float32))


def test_large_ids_numbers_and_seeds():
    largest = 2**63 - 1
    found = streams([largest, largest - 1], number=largest, seed=largest).normal((5,), torch.float64)
    assert len(found.unique()) == 10


def test_a_draw_is_sliced_with_its_batch():
    draw = Draw("attack", torch.tensor([5, 6, 7])).resolve(3)
    assert draw.keys() == [(0, 5), (1, 6), (2, 7)]
    assert draw[1:].keys() == [(1, 6), (2, 7)]
    assert draw[torch.tensor([2, 0])].keys() == [(2, 7), (0, 5)]
    assert Draw("attack", 4, torch.tensor([9, 8])).resolve(2)[:1].keys() == [(9, 4)]


def test_an_unknown_purpose_is_refused():
    with pytest.raises(ConfigError, match=r"^purpose is 'test'; it must be one of .*rank, guess, certify$"):
        Draw("test")
