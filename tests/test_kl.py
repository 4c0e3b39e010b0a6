"""Mixtures against scikit-learn, divergences against closed forms, and the terms of Lemma 1."""

import numpy as np
import pytest
import torch
from local_run import LocalRun, setup
from sklearn.mixture import GaussianMixture

from vqexp.core.config import resolved
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import PRD, Contrast, RandDisc, SwRD
from vqexp.papers.vq import KLBound, mixture
from vqexp.papers.vq.kl_bound import codebooks, ordered
from vqexp.papers.vq.mixture import Mixture
from vqexp.papers.vq.second_term import noise_limit, second_term

SETTINGS = {
    "samples": 40,
    "montecarlo": 200,
    "components": 2,
    "regularization": 1e-6,
    "regularization_pixel_max": 1,
    "codebooks": 3,
    "assignments": 50,
    "votes": 10,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(mean, covariance):
    """A mixture of one."""
    mean, covariance = torch.tensor(mean).double(), torch.tensor(covariance).double()
    root = torch.linalg.cholesky(covariance) if covariance.dim() == 2 else covariance.sqrt()
    return Mixture(torch.zeros(1, 1).double(), mean[None, None], root[None, None])


def closed_form(p, q):
    """KL of two Gaussians, (mean, covariance matrix) each."""
    (m, a), (n, b) = ((np.array(mean), np.array(cov)) for mean, cov in (p, q))
    inverse = np.linalg.inv(b)
    return 0.5 * (
        np.trace(inverse @ a)
        + (n - m) @ inverse @ (n - m)
        - len(m)
        + np.log(np.linalg.det(b) / np.linalg.det(a))
    )


P = ([0.0, 1.0], [[1.0, 0.6], [0.6, 2.0]])
Q = ([1.0, -0.5], [[0.5, -0.2], [-0.2, 1.5]])


@pytest.fixture(scope="module")
def clusters():
    """(1, 900, 3) with three overlapping clusters."""
    parts = [
        torch.randn(1, 300, 3, generator=seeded(i), dtype=torch.float64) * scale + shift
        for i, (scale, shift) in enumerate(((1, 0), (0.3, 2), (2, -3)))
    ]
    return torch.cat(parts, 1)


@pytest.mark.parametrize("covariance", mixture.COVARIANCES)
def test_em_is_that_of_scikit_learn(clusters, covariance):
    labels = mixture.k_means_labels(clusters, 3, Draw())
    x, shares = clusters[0].numpy(), np.eye(3)[labels[0].numpy()]
    means = np.stack([x[shares[:, k] == 1].mean(0) for k in range(3)])
    variances = [np.cov(x[shares[:, k] == 1].T, bias=True) + 1e-6 * np.eye(3) for k in range(3)]
    precisions = np.stack([np.linalg.inv(v) if covariance == "full" else 1 / np.diag(v) for v in variances])
    reference = GaussianMixture(
        3,
        covariance_type=covariance,
        weights_init=shares.mean(0),
        means_init=means,
        precisions_init=precisions,
    ).fit(x)
    found = mixture.fit(clusters, labels, 3, covariance=covariance, regularization=1e-6)
    np.testing.assert_allclose(found.means[0], reference.means_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.log_weights[0].exp(), reference.weights_, rtol=1e-6)
    np.testing.assert_allclose(found.log_density(clusters)[0], reference.score_samples(x), rtol=1e-6)
    assert reference.n_iter_ > 3


@pytest.mark.parametrize("covariance", mixture.COVARIANCES)
def test_each_set_of_a_batch_is_fitted_by_itself(clusters, covariance):
    both = torch.cat([clusters, clusters.flip(2) * 2 + 1])
    labels = mixture.k_means_labels(both, 3, Draw())
    settings = {"covariance": covariance, "regularization": 1e-6}
    found = mixture.fit(both, labels, 3, **settings)
    for i in range(2):
        alone = mixture.fit(both[i : i + 1], labels[i : i + 1], 3, **settings)
        torch.testing.assert_close(found[i : i + 1].log_density(both), alone.log_density(both))


def test_samples_have_the_moments_of_the_mixture():
    root = torch.linalg.cholesky(torch.tensor([P[1], Q[1]]).double())
    both = Mixture(
        torch.tensor([[0.3, 0.7]]).double().log(), torch.tensor([[P[0], Q[0]]]).double(), root[None]
    )
    points = both.sample(200_000, seeded())[0]
    mean = 0.3 * torch.tensor(P[0]) + 0.7 * torch.tensor(Q[0])
    second = sum(
        w * (torch.tensor(c) + torch.tensor(m).outer(torch.tensor(m))) for w, (m, c) in ((0.3, P), (0.7, Q))
    )
    torch.testing.assert_close(points.mean(0).float(), mean, atol=0.02, rtol=0)
    torch.testing.assert_close((points.T @ points / len(points)).float(), second, atol=0.03, rtol=0)


def test_divergence_of_single_gaussians():
    expected = closed_form(P, Q)
    found, error = mixture.divergence(gaussian(*P), gaussian(*Q), 100_000, seeded())
    assert 0 < error < 0.02
    assert found.item() == pytest.approx(expected, abs=4 * error.item())
    zero, _ = mixture.divergence(gaussian(*P), gaussian(*P), 1000, seeded())
    assert zero.item() == 0
    diagonal = [([0.0, 1.0], [1.0, 2.0]), ([1.0, -0.5], [0.5, 1.5])]
    found, error = mixture.divergence(*(gaussian(*each) for each in diagonal), 100_000, seeded())
    expected = closed_form(*((m, np.diag(v)) for m, v in diagonal))
    assert found.item() == pytest.approx(expected, abs=4 * error.item())


def test_divergence_of_fitted_samples():
    """From samples to the figure: K = 1 is the closed form of the sample moments."""
    sets = torch.cat([gaussian(*each).sample(3000, seeded(i)) for i, each in enumerate((P, Q))])
    labels = torch.zeros(2, 3000, dtype=torch.int64)
    found = mixture.fit(sets, labels, 1, covariance="full", regularization=1e-9)
    value, error = mixture.divergence(found[:1], found[1:], 100_000, seeded())
    moments = [(x.mean(0), np.cov(x.T, bias=True)) for x in sets.numpy()]
    assert value.item() == pytest.approx(closed_form(*moments), abs=4 * error.item())


def test_one_against_several_is_each_against_each():
    p, q = gaussian(*P), gaussian(*Q)
    both_parts = zip(vars(p).values(), vars(q).values(), strict=True)
    several = Mixture(*(torch.cat(parts) for parts in both_parts))
    both, _ = mixture.divergence(gaussian(*P), several, 500, seeded())
    assert both[0] == 0
    torch.testing.assert_close(both[1:], mixture.divergence(gaussian(*P), gaussian(*Q), 500, seeded())[0])


def test_codebooks_are_those_of_the_defense(digit_images):
    """The images made with them are the defense's own, bit for bit."""
    x = digit_images.pixels(slice(7, 8))[0]
    defense = PRD(s=2, k=4, sigma=0.1, tau=0.1, memory_limit=0.05)
    found = codebooks(defense, x, image_id=7, n=6, first=3)
    quantized = defense(x.expand(6, -1, -1, -1), Draw("report", torch.arange(3, 9), torch.full((6,), 7)))
    for centers, patches in zip(found, defense.patches(quantized), strict=True):
        distances = torch.cdist(patches, centers).amin(1)
        assert distances.max() == 0
    norms = ordered(found).view(6, 4, 4).norm(dim=2)
    assert (norms.diff(dim=1) >= 0).all()
    torch.testing.assert_close(norms.sort(1).values, found.double().norm(dim=2).sort(1).values)


def term(defense, x, other, centers, draws=20_000):
    return second_term(
        defense,
        torch.stack([x, other]),
        centers,
        draws=draws,
        components=2,
        regularization=1e-6,
        generator=seeded(),
    ).item()


def test_second_term_of_two_centers():
    """Single pixels between centers 0 and 1: labels are coins, whose divergence is known."""
    defense = RandDisc(k=2, sigma=0.1, tau=0.2)
    x, other = torch.tensor([[[0.4, 0.5, 0.7]]]), torch.tensor([[[0.5, 0.5, 0.6]]])
    centers = torch.tensor([[[0.0], [1.0]]])
    p, q = (torch.special.ndtr((each.flatten().double() - 0.5) / 0.2) for each in (x, other))
    by_hand = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum().item()
    assert term(defense, x, other, centers) == pytest.approx(by_hand, rel=0.1)
    limit = noise_limit(defense, x[None], other[None]).item()
    assert limit == pytest.approx(0.02 / (2 * 0.2**2))
    assert by_hand < limit


@pytest.mark.parametrize("s", [1, 2])
def test_second_term_of_prd_keeps_to_its_limit(digit_images, s):
    x = digit_images.pixels(slice(0, 1))[0]
    defense = PRD(s=s, k=6, sigma=0.2, tau=0.5, init="random")
    other = (x + 0.2 * torch.randn(x.shape, generator=seeded()).sign()).clamp(0, 1)
    centers = codebooks(defense, x, 0, 3)
    limit = noise_limit(defense, x[None], other[None]).item()
    found, floor = (term(defense, x, each, centers, draws=4000) for each in (other, x))
    assert limit == pytest.approx(((x - other) ** 2).sum().item() / (2 * 0.5**2), rel=1e-5)
    assert 0 <= floor < 0.1 * found
    assert found < limit


def test_second_term_in_either_pixel_scale(digit_images):
    x = digit_images.pixels(slice(0, 1))[0]
    other = (x + 0.1).clamp(0, 1)
    one = PRD(s=2, k=4, sigma=0.1, tau=0.2)
    same = PRD(s=2, k=4, sigma=25.5, tau=51, pixel_max=255)
    centers = codebooks(one, x, 0, 1)
    assert term(one, x, other, centers, 200) == pytest.approx(term(same, x, other, centers, 200), rel=1e-4)
    limits = [noise_limit(each, x[None], other[None]) for each in (one, same)]
    torch.testing.assert_close(*limits)


def test_second_term_of_swrd_is_set_by_the_regularization(digit_images):
    """Its values are finite sets that differ between x and x': the divergence has no bound."""
    x = digit_images.pixels(slice(0, 1))[0, :, :4, :4]
    other = (x + 0.1).clamp(0, 1)
    defense = SwRD(s=2, k=3, sigma=0.1, tau=0.1, beta=5)
    centers = codebooks(defense, x, 0, 1)
    found = [
        second_term(
            defense,
            torch.stack([x, other]),
            centers,
            draws=60,
            components=2,
            regularization=regularization,
            generator=seeded(),
        ).item()
        for regularization in (1e-4, 1e-6, 1e-8)
    ]
    assert found[2] > 10 * found[1] > 100 * found[0] > 0


@pytest.fixture(scope="module")
def run(digit_classifier, digit_images):
    x, labels = digit_images.pixels(slice(0, 3)), digit_images.labels[:3]
    other = (x + 0.3 * torch.randn(x.shape, generator=seeded()).sign()).clamp(0, 1)
    other[1] = x[1]
    defense = PRD(s=4, k=2, sigma=0.1, tau=0.2)
    return LocalRun(digit_classifier, x, labels, adversarial=other, defense=defense, size=2)


def test_the_metric(run):
    found = KLBound(**SETTINGS).measure(run)
    for covariance in mixture.COVARIANCES:
        kl, floor = (found.counts[f"kl_{covariance}{end}"] for end in ("", "_floor"))
        assert kl[0] > floor[0]
        assert kl[2] > floor[2]
        assert found.estimates[f"kl_{covariance}"].mean == pytest.approx(kl.mean().item())
        assert found.estimates[f"kl_{covariance}"].unit == "nats"
        assert found.estimates[f"theorem1_{covariance}"].n == 3
    assert found.counts["kl_second_term_limit"][1] == 0
    second, limit = found.counts["kl_second_term"], found.counts["kl_second_term_limit"]
    assert (second[[0, 2]] < limit[[0, 2]]).all()
    again = KLBound(**SETTINGS).measure(run).counts
    assert all(torch.equal(values, again[name]) for name, values in found.counts.items())


def test_the_regularization_is_in_the_pixel_scale_that_is_told(run):
    """1e-6 of pixels in 0..255 is 1e-6 / 255^2 of those in 0..1, and the divergence follows it."""
    in_255 = KLBound(**{**SETTINGS, "regularization_pixel_max": 255}).measure(run)
    by_hand = KLBound(**{**SETTINGS, "regularization": 1e-6 / 255**2}).measure(run)
    in_1 = KLBound(**SETTINGS).measure(run)
    assert in_255.estimates == by_hand.estimates
    assert in_255.estimates["kl_full"].mean > in_1.estimates["kl_full"].mean
    assert "regularized by 1e-06 in 0..255" in in_255.facts["note"]


@pytest.mark.parametrize(("given", "told"), [((), 1), (("defense.pixel_max=255",), 255)])
def test_the_regularization_keeps_to_the_scale_of_sigma(config, given, told):
    chosen = resolved(config("metric=kl_bound", "defense=prd", *given))["metric"]
    assert chosen["regularization_pixel_max"] == told


def test_the_margin_of_theorem_1_is_that_of_the_votes(run, digit_classifier):
    found = KLBound(**SETTINGS).measure(run).counts["vote_margin"]
    votes = torch.stack(
        [
            digit_classifier(run.defense(run._x, Draw("report", number, run.images.ids))).argmax(1)
            for number in range(SETTINGS["votes"])
        ]
    )
    for i, label in enumerate(run.images.labels.tolist()):
        shares = torch.bincount(votes[:, i], minlength=10) / len(votes)
        own = shares[label].item()
        shares[label] = -1
        assert found[i].item() == pytest.approx(own - shares.max().item())


def test_senseless_runs_are_refused():
    metric = KLBound(**SETTINGS)
    metric.check(setup(PRD(s=2, k=4, sigma=0.1, tau=0.1)))
    for wrong, reason in (
        (setup(PRD(s=2, k=4, sigma=0.1, tau=0.1), perturbs=False), "adversarial images"),
        (setup(Contrast()), "Contrast has none"),
        (setup(PRD(s=2, k=4, sigma=0, tau=0.1)), "defense.sigma is 0"),
        (setup(PRD(s=2, k=4, sigma=0.1, tau=0)), "defense.tau is 0"),
    ):
        with pytest.raises(SenselessError, match=reason):
            metric.check(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 1},
        {"montecarlo": 1},
        {"components": 0},
        {"regularization": 0},
        {"regularization_pixel_max": 2},
        {"codebooks": 41},
        {"assignments": 1},
        {"votes": 0},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match=rf"metric\.{next(iter(wrong))} is .*; it must be"):
        KLBound(**{**SETTINGS, **wrong})


def test_from_the_command_line(vqexp, tmp_path):
    command = ("metric=kl_bound", "scale=smoke", "training.epochs=1", "defense=prd", "dataset.n=2")
    status, out, _ = vqexp(*command)
    assert status == 0
    assert "an estimate, not a bound" in out
    assert " nats" in out
    assert vqexp(*command, "attack.eps=0.4")[0] == 0
    made = {
        kind: len(list((tmp_path / "store" / kind).glob("*.safetensors")))
        for kind in ("kl_clean", "kl_bound")
    }
    assert made == {"kl_clean": 1, "kl_bound": 2}  # what x has by itself serves all attacks
