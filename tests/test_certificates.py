"""Certificates against closed forms, each other, a brute-force search, another library, and simulation."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from statsmodels.stats.proportion import multinomial_proportions_confint

from vqexp.certificates import ABSTAIN, CERTIFICATES, INTERVALS, Cohen, Laplace, PixelDP, Renyi, certified
from vqexp.core.errors import ConfigError

probabilities = st.floats(0, 1)


def simplex(n, least=0.0):
    """p1 > p2 (n,) that can be the largest two of a distribution, with p1 + p2 >= least."""
    generator = np.random.default_rng(0)
    p1, p2 = generator.uniform(0, 1, (2, 20 * n))
    valid = (p1 > p2) & (p1 + p2 <= 1) & (p1 + p2 >= least)
    return p1[valid][:n], p2[valid][:n]


def one(kind, p1, p2, scale=1.0):
    return kind().radius(np.array([p1]), np.array([p2]), scale).item()


# the certificates


def by_brute_force(p1, p2):
    """Theorem 2 on a fine grid of alpha, in 40 digits."""
    with mpmath.workdps(40):
        a, b, best = mpmath.mpf(p1), mpmath.mpf(p2), mpmath.mpf(0)
        for k in range(-600, 900):
            t = mpmath.e ** (mpmath.mpf(k) / 40)
            mean = ((a**-t + b**-t) / 2) ** (-1 / t)
            best = max(best, -2 / (1 + t) * mpmath.log(1 - a - b + 2 * mean))
        return float(mpmath.sqrt(best))


@pytest.mark.parametrize(
    ("p1", "p2"),
    [(0.9, 0.05), (0.5, 0.499), (0.35, 0.3499), (0.999999, 1e-7), (0.6, 0.3), (0.2, 1e-9), (0.05, 0.01)],
)
def test_renyi_finds_the_supremum(p1, p2):
    found, expected = one(Renyi, p1, p2), by_brute_force(p1, p2)
    assert found == pytest.approx(expected, rel=1e-4)  # the grid's own error
    assert found >= expected * (1 - 1e-6)


def test_renyi_at_the_edges():
    """Without a runner-up the supremum is at alpha -> 1: sqrt(-2 log(1 - p1))."""
    assert one(Renyi, 0.5, 0.5) == 0
    assert one(Renyi, 0.3, 0.3) == 0
    assert one(Renyi, 0.7, 0.0) == pytest.approx(np.sqrt(-2 * np.log(0.3)), rel=1e-6)
    almost = 1 - 1e-12
    assert one(Renyi, almost, 0.0) == pytest.approx(np.sqrt(-2 * np.log1p(-almost)), rel=1e-6)
    assert np.isfinite(one(Renyi, almost, 1e-13))


def test_the_released_search_loses_next_to_nothing():
    """100 values of alpha up to 2: less than 1e-5 at ten labels' probabilities, 0.5 % where p2 is 0."""
    p = np.sort(np.random.default_rng(0).dirichlet(np.full(10, 0.3), 5000))
    p1, p2 = p[:, -1], p[:, -2]

    def released(p1, p2):
        alpha = np.linspace(1.01, 2, 100)[:, None]
        power = np.mean([p1 ** (1 - alpha), p2 ** (1 - alpha)], 0) ** (1 / (1 - alpha))
        return np.sqrt((-2 / alpha * np.log(1 - p1 - p2 + 2 * power)).max(0))

    with np.errstate(divide="ignore"):
        lost = 1 - released(p1, p2) / Renyi().radius(p1, p2, 1.0)
        zero = 1 - released(np.array([0.9]), np.array([0.0])) / Renyi().radius(
            0.9 * np.ones(1), np.zeros(1), 1.0
        )
    assert lost.min() > -2e-6
    assert lost.max() < 1e-5
    assert zero == pytest.approx(0.005, rel=0.01)


def test_renyi_is_never_below_pixeldp_for_ten_classes():
    """The paper's claim (Figure 5), where p1 + p2 >= 0.2, as for the largest two of ten."""
    p1, p2 = simplex(10_000, least=0.2)
    assert len(p1) == 10_000
    assert (Renyi().radius(p1, p2, 1.0) >= PixelDP().radius(p1, p2, 1.0)).all()


def test_renyi_is_below_pixeldp_for_small_probabilities():
    """Which the paper does not say, as with a hundred classes."""
    assert one(Renyi, 0.032, 0.0115) < one(PixelDP, 0.032, 0.0115)


def test_cohen_is_never_below_renyi():
    p1, p2 = simplex(10_000)
    assert (Cohen().radius(p1, p2, 1.0) >= Renyi().radius(p1, p2, 1.0)).all()


def test_pixeldp_is_the_best_of_a_grid():
    p1, p2 = simplex(30)
    epsilon = np.linspace(1e-4, 1, 4000)[:, None]
    delta = (p1 - np.exp(2 * epsilon) * p2) / (1 + np.exp(epsilon))
    with np.errstate(invalid="ignore", divide="ignore"):
        radius = np.where(delta > 0, epsilon / np.sqrt(2 * np.log(1.25 / delta)), 0)
    found = PixelDP().radius(p1, p2, 1.0)
    np.testing.assert_allclose(found, radius.max(0), rtol=1e-3, atol=1e-6)
    assert (found >= radius.max(0) * (1 - 1e-9)).all()


def test_closed_forms():
    assert one(Laplace, 0.8, 0.1, 0.5) == pytest.approx(-0.5 * np.log(1 - 0.8 + 0.1))
    assert one(Cohen, 0.8, 0.1, 0.5) == pytest.approx(0.25 * (norm.ppf(0.8) - norm.ppf(0.1)))


@pytest.mark.parametrize("name", CERTIFICATES)
@settings(max_examples=60)
@given(p1=probabilities, p2=probabilities, more=probabilities)
def test_radii_are_monotone_and_scale_with_the_noise(name, p1, p2, more):
    """Larger for a larger p1 or a smaller p2; none where p1 is not above p2."""
    kind = CERTIFICATES[name]
    radius = one(kind, p1, p2)
    assert radius >= 0
    assert (radius == 0) or p1 > min(p2, 1 - p1)
    assert one(kind, max(p1, more), p2) >= radius * (1 - 1e-6)
    assert one(kind, p1, min(p2, more)) >= radius * (1 - 1e-6)
    assert one(kind, p1, p2, 0.25) == pytest.approx(0.25 * radius)


# intervals


def test_clopper_pearson_is_scipys():
    counts = np.array([[70, 20, 10], [100, 0, 0], [0, 60, 40]])
    p1, p2 = INTERVALS["clopper_pearson"](counts, np.array([0, 0, 1]), 0.05)
    for row, (own, other) in enumerate([(70, 20), (100, 0), (60, 40)]):
        assert p1[row] == pytest.approx(
            binomtest(own, 100, alternative="greater").proportion_ci(1 - 0.05 / 3).low
        )
        assert p2[row] == pytest.approx(
            binomtest(other, 100, alternative="less").proportion_ci(1 - 0.05 / 3).high
        )


def test_cohen_certifies_as_another_library_does():
    """ART's randomized smoothing, on the same counts."""
    own = np.array([55, 80, 99, 100, 40])
    counts = np.stack([own, 100 - own], 1)
    found = certified(
        torch.tensor([[1, 0]] * 5),
        torch.tensor(counts),
        certificate="cohen",
        scale=0.5,
        alpha=0.001,
        interval="binary",
    )
    # not at the top: ART makes a file of settings in the home folder, and processes that do so at once fail
    from art.estimators.certification.randomized_smoothing.randomized_smoothing import (
        RandomizedSmoothingMixin,
    )

    lower = [RandomizedSmoothingMixin._lower_confidence_bound(_Alpha, n, 100) for n in own]
    radii = [max(0.0, 0.5 * norm.ppf(p)) for p in lower]
    np.testing.assert_allclose(found.radius, radii, rtol=1e-9)


class _Alpha:
    alpha = 0.001


# from votes to labels


def test_votes_that_name_no_label_abstain():
    votes = torch.tensor([[50, 50], [98, 2], [30, 70]])
    found = certified(votes, votes, certificate="renyi", scale=1.0)
    assert found.labels.tolist() == [ABSTAIN, 0, 1]
    assert found.radius[0] == 0
    assert found.accuracy(torch.tensor([0, 0, 0]), 0.1) == pytest.approx(1 / 3)
    assert found.norm == "l2"


def linear_votes(generator, n, distance, classes=10):
    """Votes of a linear classifier whose boundary is `distance` away from the image, in unit noise."""
    shares = np.zeros(classes)
    shares[0] = norm.cdf(distance)
    shares[1] = 1 - shares[0]
    return torch.from_numpy(generator.multinomial(n, shares, 2000))


def test_sison_glaz_is_statsmodels_row_by_row():
    counts = np.random.default_rng(0).multinomial(60, [0.7, 0.2, 0.1], 20)
    p1, p2 = INTERVALS["sison_glaz"](counts, np.zeros(20, int), 0.05)
    for row, low, high in zip(counts, p1, p2, strict=True):
        bounds = multinomial_proportions_confint(row, 0.05, method="sison-glaz")
        assert (low, high) == pytest.approx((bounds[0, 0], bounds[1:, 1].max()))


def test_sison_glaz_promises_too_much_where_votes_agree():
    """Of 100 votes at odds of 99 to 1 a third are unanimous, for which it claims certainty."""
    votes = torch.from_numpy(np.random.default_rng(0).multinomial(100, [0.99, 0.01], 200))
    found = certified(votes, votes, certificate="renyi", scale=1.0, interval="sison_glaz")
    true = Cohen().radius(np.array([0.99]), np.array([0.01]), 1.0).item()
    assert (found.radius > true).double().mean() > 0.25
    assert found.radius.isinf().any()
    exact = certified(votes, votes, certificate="renyi", scale=1.0)
    assert (exact.radius > true).double().mean() < 0.05


@pytest.mark.parametrize("interval", ["clopper_pearson", "binary"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_a_radius_beyond_the_true_one_is_as_rare_as_promised(interval, alpha):
    """Cohen's bound is tight for a linear classifier: a radius exceeds the truth where an interval fails."""
    generator, distance = np.random.default_rng(0), 0.6
    guesses, votes = (linear_votes(generator, n, distance) for n in (100, 400))
    found = certified(guesses, votes, certificate="cohen", scale=1.0, alpha=alpha, interval=interval)
    beyond = (found.radius > distance).sum().item()
    assert binomtest(beyond, 2000, alpha, alternative="greater").pvalue > 1e-3
    assert beyond > 0 or interval == "clopper_pearson"  # the test can fail
    shares = votes.numpy()[:, :2] / 400  # the point estimates, without an interval
    assert (Cohen().radius(shares[:, 0], shares[:, 1], 1.0) > distance).mean() > 0.4


@pytest.mark.parametrize("name", ["renyi", "pixeldp"])
def test_looser_certificates_cover_as_well(name):
    generator, distance = np.random.default_rng(1), 0.6
    guesses, votes = (linear_votes(generator, n, distance) for n in (100, 400))
    assert (certified(guesses, votes, certificate=name, scale=1.0).radius <= distance).double().mean() >= 0.95


@pytest.mark.parametrize(
    "wrong", [{"certificate": "ours"}, {"interval": "wald"}, {"alpha": 0}, {"alpha": 1}, {"scale": 0}]
)
def test_bad_settings(wrong):
    votes = torch.tensor([[5, 5]])
    with pytest.raises(ConfigError):
        certified(votes, votes, **{"certificate": "renyi", "scale": 1.0, **wrong})
