"""Cosines between two draws, against those that are known."""

from types import SimpleNamespace

import pytest
import torch
from local_run import LocalRun
from torch import nn

from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.core.random_module import call
from vqexp.defenses import CTRW, RNA, RPF, NoDefense, drawn_weights
from vqexp.metrics import GradientSimilarity

X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def measure(defense, weight_pairs=2000, **settings):
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 4, 3, padding=1, bias=False)
    f = nn.Sequential(convolution, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)).eval()
    model = defense.install(f)
    run = LocalRun(model, X, LABELS)
    run.model = model
    return model, GradientSimilarity(weight_pairs=weight_pairs, **settings).measure(run)


def test_weights_as_normal_vectors():
    """mu and sigma 1: the cosine is about 1/2; with mu 0 it is about normal, of variance 1/16."""
    defense = CTRW(shape=(1, 4, 4), lower=None, upper=None)
    model, found = measure(defense, pairs=1, eps=0.5)
    W = drawn_weights(model, torch.arange(4000))
    assert W.shape == (4000, 16)
    known = (W[::2] * W[1::2]).sum(1) / W[::2].norm(dim=1) / W[1::2].norm(dim=1)
    estimates = found.estimates
    assert estimates["weight_cosine"].mean == pytest.approx(known.mean().item(), abs=1e-5)
    assert estimates["weight_cosine_min"].mean == pytest.approx(known.min().item(), abs=1e-5)
    assert estimates["weight_positive"].mean == (known <= 0.5).double().mean().item()
    assert estimates["weight_positive"].n == 2000
    assert known.mean().item() == pytest.approx(0.5, abs=0.06)
    model[0][0].mu.data.zero_()
    W = drawn_weights(model, torch.arange(4000))
    free = torch.cosine_similarity(W[::2], W[1::2])
    assert free.mean().abs() < 5 / 4 / 2000**0.5
    assert free.var().item() == pytest.approx(1 / 16, rel=0.2)


def test_the_weights_are_those_of_the_draws():
    model, _ = measure(CTRW(shape=(1, 4, 4), where="both"), pairs=1, weight_pairs=2)
    drawn = drawn_weights(model, torch.arange(3))
    assert drawn.shape == (3, 16 + 64)
    seen = []
    model[0][0].register_forward_hook(lambda _, inputs, output: seen.append(output))
    call(model, torch.ones(1, 1, 4, 4), Draw("report", 2))
    torch.testing.assert_close(seen[0].flatten(), drawn[2, :16])


def test_gradients_of_draws():
    """A network that is linear in its input up to the softmax: the gradient is W times a fixed one."""
    _, found = measure(CTRW(shape=(1, 4, 4), std="lower", lower=16e-6), pairs=3, weight_pairs=2)
    assert found.counts["gradient_cosine"].shape == (3, 6)
    assert found.estimates["gradient_cosine"].mean == pytest.approx(1, abs=1e-6)  # sigma is 1e-6
    _, found = measure(CTRW(shape=(1, 4, 4), std="lower", lower=16), pairs=20, weight_pairs=2, eps=0.5)
    cosines = found.counts["gradient_cosine"]
    assert 0.1 < cosines.mean() < 0.9
    assert found.estimates["gradient_positive"].mean == pytest.approx((cosines <= 0.5).double().mean().item())


def test_other_random_layers():
    _, found = measure(RNA(shape=(1, 4, 4)), pairs=8, weight_pairs=2)
    assert not [name for name in found.estimates if "weight" in name]
    same = (found.counts["gradient_cosine"] > 1 - 1e-6).double().mean()
    assert 0.1 < same < 0.9  # the layer has two choices
    _, found = measure(RPF(shape=(1, 4, 4)), pairs=1)
    assert abs(found.estimates["weight_cosine"].mean) < 0.02
    assert found.estimates["weight_positive"].mean == pytest.approx(0.5, abs=0.06)


def test_what_it_refuses():
    metric = GradientSimilarity(pairs=1, weight_pairs=1)
    with pytest.raises(SenselessError, match="NoDefense has no draws"):
        metric.check(SimpleNamespace(defense=NoDefense()))
    for wrong in ({"pairs": 0}, {"weight_pairs": 0}, {"eps": 2}):
        with pytest.raises(ConfigError, match=r"metric\."):
            GradientSimilarity(**{"pairs": 1, "weight_pairs": 1, **wrong})
