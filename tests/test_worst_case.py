"""The worst case over many members is unbiased: selection and report use different draws."""

import math

import pytest
import torch

from vqexp.core.estimate import proportion
from vqexp.metrics import Member, gap, worst_case

N = 2000


def member(outcomes, margin, ids=None):
    ids = torch.arange(outcomes.shape[1]) if ids is None else ids
    return Member(ids, margin, outcomes, outcomes[:1], outcomes.all(0, keepdim=True))


def coin_flips(p, runs, generator):
    """(select margins (N,), report outcomes (runs, N)) of a defense that is right with probability p."""
    select = torch.rand(1, N, generator=generator) < p
    return select.float().mean(0) - 0.5, torch.rand(runs, N, generator=generator) < p


def test_twenty_coin_flips_are_reported_as_one():
    generator = torch.Generator().manual_seed(0)
    members = [
        member(outcomes, margin) for margin, outcomes in (coin_flips(0.5, 4, generator) for _ in range(20))
    ]
    worst = worst_case(members).estimates()
    low, high = worst["mean"].ci95
    assert low <= 0.5 <= high
    assert worst["all"].mean == pytest.approx(0.5**4, abs=0.02)
    # what the selection guards against: the minimum over what is reported
    assert torch.stack([each.outcomes[0] for each in members]).all(0).float().mean() < 0.01


@pytest.mark.parametrize("runs", [1, 5])
def test_the_interval_over_twenty_members_covers_the_truth(runs):
    """A coin-flip defense on 50 images, 400 times: 95 % of the intervals hold 0.5, no fewer.

    For a single draw hardly more either; a mean over several draws varies less than the interval assumes.
    """
    generator = torch.Generator().manual_seed(0)
    n, members, trials = 50, 20, 400
    covered = biased = 0
    for _ in range(trials):
        margins = torch.rand(members, 10, n, generator=generator).lt(0.5).double().mean(1) - 0.5
        outcomes = torch.rand(members, runs, n, generator=generator) < 0.5
        worst = worst_case([member(*each) for each in zip(outcomes, margins, strict=True)])
        low, high = worst.estimates()["mean"].ci95
        covered += low <= 0.5 <= high
        picked = outcomes.double().mean(1).argmin(0)  # what a report must not do: choose by what it reports
        low, high = proportion(outcomes[picked, :, torch.arange(n)].T).ci95
        biased += low <= 0.5 <= high
    assert covered / trials > 0.93  # 0.95 less two standard errors
    assert runs > 1 or covered / trials < 0.98
    assert biased / trials < 0.05


def test_the_stronger_member_counts_image_by_image():
    first = torch.tensor([[True, True, False, False]])
    second = ~first
    members = [
        member(first, torch.tensor([1.0, 1.0, -1.0, -1.0])),
        member(second, torch.tensor([-1.0, -2.0, 2.0, 1.0])),
    ]
    worst = worst_case(members)
    assert worst.chosen.tolist() == [1, 1, 0, 0]
    assert not worst.member.outcomes.any()
    assert worst.member.margin.tolist() == [-1, -2, -1, -1]


def test_members_meet_on_their_common_images():
    generator = torch.Generator().manual_seed(1)
    outcomes = torch.rand(3, 6, generator=generator) < 0.5
    ids = torch.tensor([5, 3, 9, 1, 7, 2])
    order = torch.tensor([4, 0, 2])
    some = member(outcomes[:, order], torch.full((3,), -1.0), ids[order])
    everything = member(outcomes, torch.zeros(6), ids)
    worst = worst_case([everything, some])
    assert worst.member.ids.tolist() == [5, 9, 7]
    assert torch.equal(worst.member.outcomes, outcomes[:, [0, 2, 4]])
    assert gap(everything, some) == (0.0, 0.0)


def test_gap_is_paired():
    generator = torch.Generator().manual_seed(2)
    hard = torch.rand(1, N, generator=generator) < 0.5
    easier = hard | (torch.rand(1, N, generator=generator) < 0.1)
    more, error = gap(member(easier, torch.zeros(N)), member(hard, torch.zeros(N)))
    difference = easier.double() - hard.double()
    assert more == pytest.approx(proportion(easier).mean - proportion(hard).mean)
    assert error == pytest.approx(difference.std().item() / math.sqrt(N))
    assert error < math.sqrt(2 * 0.25 / N)  # far below that of two independent samples
