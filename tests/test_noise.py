"""Additive noise: its distribution, its mean, its draws."""

import numpy as np
import pytest
import torch
from scipy import stats

from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.defenses import AdditiveNoise

IMAGES = torch.full((40, 1, 28, 28), 0.5)


@pytest.mark.parametrize(
    ("noise", "distribution"), [("gaussian", stats.norm(scale=0.3)), ("laplace", stats.laplace(scale=0.3))]
)
@pytest.mark.parametrize("pixel_max", [1, 255])
def test_its_distribution(noise, distribution, pixel_max):
    defense = AdditiveNoise(sigma=0.3 * pixel_max, noise=noise, pixel_max=pixel_max)
    found = (call(defense, IMAGES, Draw("report", 0)) - IMAGES).flatten().double().numpy()
    assert stats.kstest(found, distribution.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.03


@pytest.mark.parametrize("noise", AdditiveNoise.NOISES)
def test_the_mean_has_no_noise(noise):
    defense = AdditiveNoise(sigma=0.3, noise=noise)
    assert torch.equal(call(defense, IMAGES, Draw("attack", mean=True)), IMAGES)
    drawn = torch.stack([call(defense, IMAGES[:2], Draw("report", i)) for i in range(400)])
    assert drawn.mean(0).sub(0.5).abs().max() < 6 * 0.43 / 400**0.5


def test_clipping_is_a_setting():
    loud = {"sigma": 2.0}
    assert AdditiveNoise(**loud)(IMAGES).amax() > 1
    clipped = AdditiveNoise(clip=True, **loud)(IMAGES)
    assert (clipped.amin(), clipped.amax()) == (0, 1)


def test_the_gradient_is_the_identitys():
    images = IMAGES[:2].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(AdditiveNoise(sigma=0.3)(images).sum(), images)
    assert torch.equal(gradient, torch.ones_like(gradient))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma": -1},
        {"sigma": 0.1, "noise": "uniform"},
        {"sigma": 1, "clip": 1},
        {"sigma": 1, "pixel_max": 2},
    ],
)
def test_bad_settings(wrong):
    with pytest.raises(ConfigError, match=r"defense\."):
        AdditiveNoise(**wrong)
