"""k-winners-take-all and stochastic activation pruning: what they compute, and what breaks them."""

import copy

import pytest
import torch
from torch import nn

from vqexp.adversaries import WhiteBox
from vqexp.attacks import PGD
from vqexp.classifiers import small_cnn
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.defenses import KWTA, ActivationPruning
from vqexp.defenses.classic.kwta import KWinners
from vqexp.defenses.classic.pruning import Pruned

X = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def test_the_largest_activations_win():
    kept = KWinners(0.2)(X)
    for image, result in zip(X.flatten(1), kept.flatten(1), strict=True):
        winners = image.sort(descending=True).indices[:15]
        assert set(result.nonzero().flatten().tolist()) == set(winners.tolist())
        assert torch.equal(result[winners], image[winners])


def test_every_relu_is_replaced():
    model = KWTA(share=0.3).install(small_cnn((1, 8, 8), 10, width=4))
    assert sum(isinstance(each, KWinners) for each in model.modules()) == 3
    assert not any(isinstance(each, nn.ReLU) for each in model.modules())


def test_pruning_keeps_the_mean_and_drops_the_small():
    values = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]])
    layer = Pruned(1.0).eval()
    drawn = call(layer, values.expand(20000, -1), Draw("report", torch.arange(20000)))
    torch.testing.assert_close(drawn.mean(0, keepdim=True), values, rtol=0.05, atol=0)
    chance = 1 - (1 - values / values.sum()) ** 5
    torch.testing.assert_close((drawn > 0).float().mean(0, keepdim=True), chance, rtol=0, atol=0.015)
    assert torch.equal(call(layer, values, Draw(mean=True)), values)


def test_each_image_is_pruned_by_itself():
    layer = Pruned(0.5).eval()
    whole = call(layer, X, Draw("report", 3, torch.arange(4)))
    alone = [call(layer, X[i : i + 1], Draw("report", 3, torch.tensor([i]))) for i in range(4)]
    assert torch.equal(whole, torch.cat(alone))
    assert not torch.equal(whole, call(layer, X, Draw("report", 4, torch.arange(4))))
    assert torch.equal(call(layer.train(), X, Draw("train", 0)), X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KWTA(share=1), "defense.share is 1; it must be a number > 0 and < 1"),
        (lambda: KWTA(share=0.2).install(nn.Linear(2, 2)), "defense=kwta acts on ReLUs"),
        (lambda: ActivationPruning(share=0), "defense.share is 0; it must be a number > 0"),
        (lambda: ActivationPruning(share=1, seed=-1), "defense.seed is -1"),
        (lambda: ActivationPruning(share=1).install(nn.Linear(2, 2)), "this classifier has no nn.ReLU"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert message in str(error.value)


def test_an_attacker_who_averages_breaks_pruning(digit_images, digit_classifier):
    images, labels = digit_images.pixels(slice(60)), digit_images.labels[:60]
    defense = ActivationPruning(share=1.0)
    model = defense.install(copy.deepcopy(digit_classifier)).eval()
    view = WhiteBox(gradient="exact", samples=3).view(model, defense)
    found = PGD(eps=0.3, steps=20, step_size=0.04).run(view, images, labels, 0)
    right = [
        (call(model, x, Draw("report", 0)).argmax(1) == labels).float().mean() for x in (images, found.images)
    ]
    assert right[0] > 0.9
    assert right[1] < 0.05
