"""The random-weights paper's bounds, against simulation."""

import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from vqexp.classifiers import small_resnet
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.defenses import CTRW, drawn_weights
from vqexp.papers.ctrw import lower_bound, probability_unlike, sufficient_lower_bound, upper_bound

ALPHA, BETA, SHAPE = -1e-3, 1e-2, (3, 8, 8)
X = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))


def network(position=0, mu=None, total=100.0):
    """With random weights whose mu is around `mu`, and sigma of a sum."""
    torch.manual_seed(0)
    model = CTRW(shape=SHAPE, position=position).install(small_resnet(SHAPE, 4, width=4)).eval()
    layer = (model.fc if position == 5 else model.conv1)[0]
    if mu is not None:
        layer.mu.data = mu * (0.5 + torch.rand(layer.mu.shape))
    layer.sigma.data = torch.rand(layer.mu.shape) + 0.5
    return with_total(model, layer, total), layer


def with_total(model, layer, total):
    layer.sigma.data *= total / layer.sigma.data.sum()
    return model


def unlike(model, draws=8000):
    """How many draws have no positive product with draw 0."""
    W = drawn_weights(model, torch.arange(1, draws + 1))
    return (W @ drawn_weights(model, torch.tensor([0]))[0] <= 0).double().mean().item()


@pytest.mark.parametrize(("mu", "total"), [(0.05, 150.0), (0.2, 300.0), (0.0, 50.0)])
def test_the_probability_of_unlike_weights(mu, total):
    model, _ = network(mu=mu, total=total)
    known = probability_unlike(model)
    assert unlike(model) == pytest.approx(known, abs=4 * (0.25 / 8000) ** 0.5)
    assert 0.001 < known < 0.999


def test_lemma_1_as_written():
    """(eps' - sum mu) / (alpha sum |W|): with |W| about mu it is about 1 / |alpha|."""
    model, layer = network(mu=1.0, total=1e-3)
    W = drawn_weights(model, torch.tensor([0]))[0]
    by_hand = (0.2 - layer.mu.sum().item()) / (ALPHA * W.abs().sum().item())
    assert lower_bound(model, ALPHA, eps=0.2) == pytest.approx(by_hand, rel=1e-5)
    assert lower_bound(model, ALPHA) == pytest.approx(1000, rel=1e-3)
    assert lower_bound(model, -ALPHA) == pytest.approx(
        -1000, rel=1e-3
    )  # the experiments' alpha bounds nothing


def test_lemma_1_promises_too_much():
    """At the sum that it asks for the probability is far below F(alpha), at the corrected one it is that."""
    model, layer = network(mu=1.0, total=1e-6)
    W = drawn_weights(model, torch.tensor([0]))[0]

    def probability(total):  # W[1] stays the fixed one
        variance = (W * layer.sigma.data.flatten() / layer.sigma.data.sum() * total).square().sum().sqrt()
        other = W @ layer.mu.data.flatten() + variance * torch.randn(8000)
        return (other <= 0).double().mean().item()

    alpha = -0.5
    assert norm.cdf(alpha) == pytest.approx(0.309, abs=0.001)
    assert probability(lower_bound(model, alpha)) == 0
    right = sufficient_lower_bound(model, alpha)
    assert probability(right) == pytest.approx(norm.cdf(alpha), abs=4 * (0.25 / 8000) ** 0.5)
    assert right > 10 * lower_bound(model, alpha)


def within(model, image, eps, draws=1500):
    """Share of pairs of draws whose logits differ by less than eps, (classes,)."""
    numbers = torch.arange(2 * draws)
    with torch.no_grad():
        Y = call(model, image.expand(2 * draws, -1, -1, -1), Draw("report", numbers))
    return (Y[::2] - Y[1::2] < eps).double().mean(0)


@pytest.mark.parametrize("position", [0, 5])
def test_lemma_2(position):
    """At the bound P(Y_1 - Y_2 < eps) is F(beta / sqrt 2), for a beta at which that says something."""
    model, layer = network(position, mu=1.0)
    beta = 1.5
    eps = 0.5 if position == 5 else 1e-4  # in front, of a size at which the network is linear
    found = upper_bound(model, X, beta, eps)
    assert found.shape == (2, 4)
    bound = found[1, 2].item()
    stable = within(with_total(model, layer, bound), X[1], eps)[2].item()
    assert stable == pytest.approx(norm.cdf(beta / math.sqrt(2)), abs=0.04)
    looser = within(with_total(model, layer, 2 * bound), X[1], eps)[2].item()
    assert looser < stable - 0.1


def test_lemma_2_by_hand():
    """In front of the last layer J is the feature times its weight: eq. 13 for one random weight."""
    model, layer = network(5, mu=1.0)
    features = []
    model.fc[0].register_forward_hook(lambda _, inputs, output: features.append(inputs[0]))
    call(model, X, Draw(mean=True))
    share = layer.sigma.data / layer.sigma.data.sum()
    terms = features[0].unsqueeze(1) * model.fc[1].weight * share
    torch.testing.assert_close(upper_bound(model, X, BETA, 0.1), 0.1 / (BETA * terms.norm(dim=2)))


def test_what_they_need():
    with pytest.raises(ConfigError, match="no random weights"):
        lower_bound(nn.Linear(2, 2), ALPHA)
    model, _ = network()
    for wrong in (lambda: lower_bound(model, 0), lambda: sufficient_lower_bound(model, 1e-3)):
        with pytest.raises(ConfigError, match="alpha"):
            wrong()
    for beta, eps in ((0, 1), (1, 0)):
        with pytest.raises(ConfigError, match="must be a number > 0"):
            upper_bound(model, X, beta, eps)
