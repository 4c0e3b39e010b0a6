"""Thermometer encoding, and votes over crops and transformations: what they compute, and what breaks them."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from vqexp.adversaries import Oblivious, WhiteBox
from vqexp.attacks import PGD
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.defenses import RandomCrops, Thermometer, Transformations, defend

X = torch.rand(5, 3, 12, 9, generator=torch.Generator().manual_seed(0))


class Means(nn.Module):
    """Two logits: the mean of the image's left half and of its right half."""

    def forward(self, images):
        return torch.stack([half.flatten(1).mean(1) for half in images.split(images.shape[3] // 2 + 1, 3)], 1)


def test_a_thermometer_counts_thresholds():
    shown = Thermometer(levels=4)(torch.tensor([0, 0.1, 0.2, 0.4, 0.7, 1]).view(1, 1, 1, 6))
    assert shown.flatten().tolist() == [0, 0, 0.25, 0.5, 0.75, 1]
    assert (Thermometer(levels=16)(X) - X).abs().max() <= 1 / 32 + 1e-6
    images = X.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(Thermometer(levels=4)(images).sum(), images)
    assert torch.count_nonzero(gradient) == 0


def test_transformations_are_the_image_fewer_bits_a_blur_and_two_shifts():
    same, fewer, blurred, left, right = Transformations(bits=1).versions(X, Draw())
    assert torch.equal(same, X)
    assert torch.equal(fewer, X.round())
    torch.testing.assert_close(blurred[:, :, 1:-1, 1:-1], avg_pool2d(X, 3, stride=1))
    assert torch.equal(left[..., :-1], X[..., 1:])
    assert torch.equal(right[..., 1:], X[..., :-1])


def test_crops_are_parts_of_the_image():
    """An image that grows linearly to the right: a crop is a part of the line, at a place of its own."""
    line = (torch.arange(20.0) + 0.5).div(20).expand(200, 1, 8, 20)
    crops = torch.stack(list(RandomCrops(count=2, share=0.5).versions(line, Draw().resolve(200))))
    slopes = crops.diff(dim=4)[..., 5:-5]
    torch.testing.assert_close(slopes, torch.full_like(slopes, 0.5 / 20))
    middles = crops[..., 9:11].mean((2, 3, 4))
    assert middles.min() >= 0.25 - 1e-6
    assert middles.max() <= 0.75 + 1e-6
    assert abs(middles.mean() - 0.5) < 0.04
    assert (middles[0] != middles[1]).all()
    torch.testing.assert_close(RandomCrops(count=1, share=1).versions(X, Draw().resolve(5))[0], X)


@pytest.mark.parametrize("defense", [RandomCrops(count=3, share=0.5), Transformations(bits=2)])
def test_predictions_are_averaged_or_counted(defense):
    draw, model = Draw("report", 1, torch.arange(5)), Means()
    versions = torch.stack([model(each) for each in defense.versions(X, draw)])
    probabilities = call(defense.wrap(model), X, draw).exp()
    torch.testing.assert_close(probabilities, versions.softmax(2).mean(0))
    defense.vote = "labels"
    votes = call(defense.wrap(model), X, draw)
    expected = torch.stack([(versions.argmax(2) == label).float().mean(0) for label in range(2)], 1)
    torch.testing.assert_close(votes, expected)
    defense.vote = "probabilities"


def test_a_draw_of_crops_is_the_images_own():
    model = RandomCrops(count=3, share=0.5).wrap(Means())
    ids = torch.arange(100, 105)
    whole = call(model, X, Draw("report", 2, ids))
    alone = [call(model, X[i : i + 1], Draw("report", 2, ids[i : i + 1])) for i in range(5)]
    torch.testing.assert_close(whole, torch.cat(alone))
    assert not torch.equal(whole, call(model, X, Draw("report", 3, ids)))


@pytest.mark.parametrize(
    ("defense", "adversary"),
    [
        (Thermometer(levels=16), WhiteBox(gradient="ste")),
        (Transformations(bits=3), WhiteBox(gradient="exact")),
        (RandomCrops(count=5, share=0.9), WhiteBox(gradient="exact")),
        (RandomCrops(count=5, share=0.9, vote="labels"), Oblivious(cost="free")),
    ],
)
def test_an_attacker_who_knows_it_breaks_it(digit_images, digit_classifier, defense, adversary):
    images, labels = digit_images.pixels(slice(60)), digit_images.labels[:60]
    adversary.check(defense)
    view = adversary.view(digit_classifier, defense)
    found = PGD(eps=0.3, steps=20, step_size=0.04).run(view, images, labels, 0)
    model = defend(digit_classifier, defense)
    with torch.no_grad():
        right = [(model(x).argmax(1) == labels).float().mean().item() for x in (images, found.images)]
    assert right[0] > 0.8
    assert right[1] < 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Thermometer(levels=1), "defense.levels is 1; it must be an integer >= 2 and <= 255"),
        (lambda: Transformations(bits=9), "defense.bits is 9"),
        (lambda: Transformations(bits=3, vote="both"), "must be one of probabilities, labels"),
        (lambda: RandomCrops(count=0, share=0.5), "defense.count is 0"),
        (lambda: RandomCrops(count=1, share=0), "defense.share is 0; it must be a number > 0 and <= 1"),
        (lambda: RandomCrops(count=1, share=1, seed=-1), "defense.seed is -1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert message in str(error.value)
