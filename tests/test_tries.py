"""Several draws, against simulation and what is known by hand."""

import numpy as np
import pytest
import torch

from vqexp.audits.tries import by_tries, disagreement, every_of, most_of
from vqexp.metrics import Member


def member(outcomes):
    n = outcomes.shape[1]
    return Member(torch.arange(n), torch.zeros(n), outcomes, outcomes[:1], outcomes[:1])


def test_all_and_most_of_n_draws_are_what_choosing_n_of_them_gives():
    random, runs, tries = np.random.default_rng(0), 10, 4
    for right in (0, 3, 5, 9, 10):
        chosen = np.stack([random.permutation(runs)[:tries] < right for _ in range(20000)])
        every, most = (float(f(torch.tensor([right]), runs, tries)[0]) for f in (every_of, most_of))
        assert every == pytest.approx(chosen.all(1).mean(), abs=0.02)
        assert most == pytest.approx((chosen.sum(1) > tries / 2).mean(), abs=0.02)


def test_the_curve_starts_at_the_accuracy_and_only_falls():
    outcomes = torch.rand(10, 50, generator=torch.Generator().manual_seed(0)) < torch.linspace(0, 1, 50)
    found = by_tries(member(outcomes))
    assert [each.number for each in found] == [1, 2, 4, 8]  # there are ten draws
    assert found[0].every == pytest.approx(float(outcomes.double().mean()))
    assert found[0].most == pytest.approx(found[0].every)
    assert [each.every for each in found] == sorted((each.every for each in found), reverse=True)
    assert float(every_of(outcomes.sum(0), 10, 10).mean()) == pytest.approx(
        float(outcomes.all(0).double().mean())
    )


def test_fixed_outcomes_do_not_change_with_tries_and_coins_do():
    sure = torch.tensor([[True, False]] * 8)
    assert {(each.every, each.most) for each in by_tries(member(sure))} == {(0.5, 0.5)}
    assert disagreement(member(sure)) == 0
    assert disagreement(member(sure[:1])) is None
    coins = torch.rand(200, 300, generator=torch.Generator().manual_seed(0)) < 0.5
    assert disagreement(member(coins)) == pytest.approx(0.5, abs=0.01)
    assert by_tries(member(coins))[3].every == pytest.approx(2**-8, abs=0.001)
