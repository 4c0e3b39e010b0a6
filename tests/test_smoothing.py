"""Certified accuracy of runs and of any classifier."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vqexp.adversaries import WhiteBox
from vqexp.attacks import PGD
from vqexp.certificates import certify
from vqexp.core.errors import ConfigError
from vqexp.core.reductions import blocks
from vqexp.core.sampling import Sampler
from vqexp.core.store import Store
from vqexp.defenses import AdditiveNoise
from vqexp.pipeline import read, run
from vqexp.pipeline.build import prepare

NOISE = ("defense=additive_noise", "defense.sigma=0.2", "metric=smoothing", "attack=none", "metric.draws=200")


def test_a_run_certifies_from_disjoint_draws(config, store):
    record = read(run(config(*NOISE, "metric.radii=[0,0.2]")))
    found = record.metrics
    at = [found[f"renyi_at_{radius}"].mean for radius in ("0", "0.2")]
    assert 1 >= at[0] >= at[1] > 0
    assert found["cohen_at_0.2"].mean >= found["renyi_at_0.2"].mean >= found["pixeldp_at_0.2"].mean
    assert found["renyi_at_0_times_095"].mean == pytest.approx(0.95 * at[0])
    assert found["vote_accuracy"].mean >= at[0]
    assert found["renyi_at_0.2"].title == "renyi: certified accuracy, l2 radius 0.2"
    counts = Store(store).load("counts", record.key).tensors
    assert counts["votes"].sum(1).eq(200).all()
    assert counts["guesses"].sum(1).eq(100).all()
    assert "100 others name the label" in record.facts["note"]
    same = read(run(config(*NOISE, "metric.guess_draws=0")))
    assert set(same.artifacts["votes"]) < set(record.artifacts["votes"])  # the same votes serve
    assert "the same draws name the label" in same.facts["note"]
    loose = read(run(config(*NOISE, "metric.interval=sison_glaz", "dataset.n=4"))).facts["note"]
    assert "unanimous votes are certainty" in loose
    fewer = read(run(config(*NOISE[:4], "metric.draws=100", "metric.guess_draws=0")))
    assert set(fewer.artifacts["votes"]) < set(same.artifacts["votes"])  # the first 100 are kept apart


@given(st.integers(1, 50_000))
def test_blocks_of_draws_follow_each_other_and_share_their_ends(count):
    parts = blocks(count)
    assert [draw for part in parts for draw in range(*part)] == list(range(count))
    assert set(parts[:-1]) <= set(blocks(count + 1000))


def test_draws_in_blocks_are_the_draws(linear):
    images, ids, model = torch.rand(3, 1, 4, 4), torch.arange(3), AdditiveNoise(sigma=0.2).wrap(linear)
    whole = torch.cat(list(Sampler(0).draws(model, images, ids, "certify", 10)))
    parts = [torch.cat(list(Sampler(0).draws(model, images, ids, "certify", 5, first))) for first in (0, 5)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["defense=swrd"], "certifies additive noise, and this is SwRD"),
        (["defense.noise=laplace"], "renyi is proved for gaussian noise"),
        (["metric.certificates=[ours]"], "it must be one of renyi"),
        (["metric.interval=wald"], "metric.interval is"),
    ],
)
def test_what_cannot_be_certified_is_refused(config, overrides, reason):
    with pytest.raises(ConfigError, match=reason):
        prepare(config(*NOISE[:1], *NOISE[2:4], *overrides))


@pytest.fixture(scope="module")
def linear():
    """The sign of the first pixel less 1/2, as two logits: its boundary is as far away as that pixel says."""
    layer = nn.Linear(16, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[1, 0], layer.bias[0], layer.bias[1] = 1.0, 0.5, 0.0
    return nn.Sequential(nn.Flatten(), layer).eval()


def test_anyones_classifier_in_one_call(linear):
    images = torch.full((3, 1, 4, 4), 0.5)
    images[:, 0, 0, 0] = torch.tensor([0.9, 0.1, 0.5])
    found = certify(linear, images, sigma=0.25, n=5000)
    assert found.labels.tolist()[:2] == [1, 0]
    assert ((found.radius[:2] > 0.36) & (found.radius[:2] < 0.4)).all()  # the truth is 0.4
    assert found.radius[2] < 0.05
    again = certify(linear, images[:1], sigma=0.25, n=5000)
    assert torch.equal(again.radius, found.radius[:1])  # other images change nothing


def test_laplace_noise_is_certified_in_l1(linear):
    images = torch.full((1, 1, 4, 4), 0.9)
    found = certify(linear, images, sigma=0.1, n=5000, certificate="laplace")
    assert found.norm == "l1"
    assert 0.3 < found.radius.item() <= 0.4


def test_a_certified_image_is_not_broken_inside_its_radius(digit_images, digit_classifier):
    """By PGD with the margin, EOT and restarts, on the radius of each image."""
    images, labels, sigma = digit_images.pixels(slice(24)), digit_images.labels[:24], 0.3
    found = certify(digit_classifier, images, sigma=sigma, n=500, alpha=0.001)
    right = (found.labels == labels) & (found.radius > 0.05)
    assert right.sum() >= 10
    defense = AdditiveNoise(sigma=sigma)
    for radius in (0.1, 0.2):
        rows = right & (found.radius > radius)
        attack = PGD(eps=radius, norm="l2", steps=10, step_size=radius / 3, loss="margin")
        view = WhiteBox(gradient="exact", samples=4).view(digit_classifier, defense)
        adversarial = attack.run(view, images[rows], labels[rows], seed=0).images
        again = certify(digit_classifier, adversarial, sigma=sigma, n=500, seed=1)
        broken = (again.labels != labels[rows]) & (again.labels >= 0)
        assert rows.any()
        assert not broken.any()


@pytest.mark.parametrize("wrong", [{"sigma": 0}, {"n": 0}, {"n0": 0}, {"certificate": "ours"}])
def test_bad_arguments(linear, wrong):
    with pytest.raises(ConfigError):
        certify(linear, torch.rand(1, 1, 4, 4), **{"sigma": 0.1, **wrong})
