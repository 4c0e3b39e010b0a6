"""The counter-based streams: Random123's generator, and the same numbers by torch and by Triton."""

import numpy as np
import pytest
import torch
from scipy import stats

from vqexp.core import philox
from vqexp.core.draws import PURPOSES

LARGEST = 2**63 - 1


def streams(ids, *, seed=0, purpose=4, place=0, number=0):
    return philox.CounterStreams(seed, purpose, place, torch.as_tensor(ids), number, torch.device("cpu"))


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter, key, words):
    """Those of the Random123 library, by ints and by tensors."""
    assert philox.philox(counter, key) == words
    as_tensors = philox.philox(
        [torch.tensor([number, number]) for number in counter], [torch.tensor([number]) for number in key]
    )
    assert torch.stack(as_tensors).tolist() == [[word] * 2 for word in words]


@pytest.mark.parametrize("kind", philox.KINDS)
@pytest.mark.parametrize("shape", [(7,), (5, 27), (3, 8, 8), (600, 1), (), (0,)])
def test_triton_gives_the_same_numbers(triton_device, kind, shape):
    from vqexp.core import philox_triton

    images = torch.tensor([[0, 0], [3, 1], [LARGEST, 5], [2**40 + 1, LARGEST]])
    for seed, first in ((12345, 0), (-LARGEST, 3), (0, 2**31 - 20)):
        expected = philox.fill(images, seed, first, shape, kind)
        found = philox_triton.fill(images.to(triton_device), seed, first, shape, kind).cpu()
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if kind == "normal" else 0)


def test_distributions():
    found = streams([3, 5], number=torch.tensor([0, 7]))
    for name, numbers in (
        ("norm", found.normal((200, 501))),
        ("uniform", found.uniform((200, 501), torch.float32)),
        ("uniform", found.uniform((200, 501), torch.float64)),
    ):
        assert numbers.shape == (2, 200, 501)
        for row in numbers:
            assert stats.kstest(row.flatten().double().numpy(), name).pvalue > 0.01
    pairs = streams([1]).normal((50_000, 4))[0].numpy()  # the four of a block
    assert abs(np.corrcoef(pairs.T)[np.triu_indices(4, 1)]).max() < 5 / 50_000**0.5
    assert abs(np.corrcoef((pairs**2).T)[np.triu_indices(4, 1)]).max() < 5 / 50_000**0.5


def test_the_tail_of_normal_numbers():
    numbers = streams(range(100)).normal((100_000,)).abs()
    assert (numbers > 4).float().mean() == pytest.approx(2 * stats.norm.sf(4), rel=0.2)
    assert numbers.max() > 5


def test_subsets_are_uniform_and_without_repetition():
    found = streams(range(4000)).subset(12, 5)
    assert (found.sort(1).values.diff(dim=1) > 0).all()
    counts = torch.bincount(found.flatten(), minlength=12)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_a_stream_depends_on_its_five_numbers_alone():
    """Neither on the batch nor on its order; streams of other numbers share none with it."""
    together = streams(range(50), number=torch.arange(50)).normal((7, 3))
    rows = torch.tensor([30, 2, 49])
    assert torch.equal(streams(rows, number=rows).normal((7, 3)), together[rows])
    base = dict(ids=[1], seed=2, purpose=3, place=4, number=5)
    others = [
        {},
        *({name: [9] if name == "ids" else 9} for name in base),
        {"ids": [5], "number": 1},
        {"seed": 3, "purpose": 2},
        {"seed": LARGEST},
        {"place": LARGEST},
        {"ids": [LARGEST]},
        {"number": LARGEST},
        {"ids": [1 + 2**32]},
        {"number": 5 + 2**32},
    ]
    numbers = torch.cat([streams(**{**base, **other}).uniform((1000,), torch.float64) for other in others])
    assert len(numbers.unique()) == numbers.numel()


def test_calls_go_on_where_the_last_ended():
    source = streams([4, 6])
    found = [source.uniform((5,), torch.float32), source.normal((3, 6)), source.uniform((2,), torch.float64)]
    # 5 numbers take two blocks, three rows of 6 take six, and two doubles take one
    kinds = "uniform", "normal", "uniform_double"
    for first, kind, numbers in zip((0, 2, 8), kinds, found, strict=True):
        expected = philox.fill(source.images, source.seed, first, numbers.shape[1:], kind)
        assert torch.equal(numbers, expected)
    assert source.block == 9
    words = philox.philox((torch.arange(9), 0, 0, 0), (0, 0))
    assert len(torch.stack(words).unique()) == 36


def test_numbers_never_change():
    """Results on a GPU rest on them."""
    found = streams([7], seed=11, purpose=PURPOSES["select"], place=1, number=2)
    doubles = found.uniform((3,), torch.float64)[0].tolist()
    assert [number.hex() for number in doubles] == [
        "0x1.2fcbb21851d21p-1",
        "0x1.025640f647de6p-2",
        "0x1.a1986b4b9df3ep-2",
    ]
    assert found.normal((3,))[0].tolist() == pytest.approx([-0.4431226, -1.9224348, 0.0452064], abs=1e-6)
