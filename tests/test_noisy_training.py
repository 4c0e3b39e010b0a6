"""Stability training and Gaussian augmentation: their losses in closed form, and what they gain."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from vqexp.classifiers import small_cnn
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.core.reductions import votes
from vqexp.core.sampling import Sampler
from vqexp.defenses import AdditiveNoise
from vqexp.training import CrossEntropy, Descent, GaussianAugmentation, Stability
from vqexp.training.step import OWN, Batch, Step

SIGMA = 0.4


@pytest.fixture
def batch(train):
    return Batch(train.pixels(slice(20)), train.labels[:20], train.ids[:20])


@pytest.mark.parametrize("target", ["softmax", "logits"])
def test_the_loss_of_stability_training(digit_classifier, batch, target):
    """CE(f(x), y) + gamma CE(P, f(x')), with gradients through both; written out."""
    objective, step = Stability(sigma=SIGMA, gamma=0.7, target=target), Step(2, 5)
    noisy = call(AdditiveNoise(sigma=SIGMA), batch.images, step.draw(batch.ids, OWN))
    images = [batch.images.clone().requires_grad_(True) for _ in range(2)]
    loss, logits = objective.loss(digit_classifier, batch._replace(images=images[0]), step)
    clean, perturbed = (digit_classifier(x) for x in (images[1], images[1] + (noisy - batch.images)))
    weights = clean.exp() / clean.exp().sum(1, keepdim=True) if target == "softmax" else clean
    per_image = -(weights * (perturbed - perturbed.logsumexp(1, keepdim=True))).sum(1)
    expected = cross_entropy(clean, batch.labels) + 0.7 * per_image.mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits, clean)
    gradients = [torch.autograd.grad(value, x)[0] for value, x in ((loss, images[0]), (expected, images[1]))]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_the_loss_of_augmentation(digit_classifier, batch):
    step = Step(0, 3)
    noisy = call(AdditiveNoise(sigma=SIGMA, noise="laplace"), batch.images, step.draw(batch.ids, OWN))
    loss, logits = GaussianAugmentation(sigma=SIGMA, noise="laplace").loss(digit_classifier, batch, step)
    torch.testing.assert_close(logits, digit_classifier(noisy))
    torch.testing.assert_close(loss, cross_entropy(logits, batch.labels))


def test_both_gain_accuracy_in_noise(train, digit_images):
    found = {}
    for objective in (CrossEntropy(), Stability(sigma=SIGMA), GaussianAugmentation(sigma=SIGMA)):
        torch.manual_seed(0)
        f = small_cnn((1, 8, 8), 10, width=8)
        recipe = Descent(
            objective=objective, epochs=4, lr=0.003, batch_size=64, optimizer="adam", schedule="constant"
        )
        recipe.fit(f, train, seed=0, device=torch.device("cpu"))
        model, images = AdditiveNoise(sigma=SIGMA).wrap(f), digit_images.pixels(slice(None))
        counts = votes(Sampler(0).draws(model, images, digit_images.ids, "report", 10))
        found[type(objective)] = (counts.argmax(1) == digit_images.labels).double().mean().item()
    assert found[Stability] > found[CrossEntropy] + 0.1
    assert found[GaussianAugmentation] > found[CrossEntropy] + 0.02


@pytest.mark.parametrize(
    "wrong", [{"gamma": -1}, {"target": "labels"}, {"sigma": -0.1}, {"noise": "uniform"}]
)
def test_bad_settings(wrong):
    with pytest.raises(ConfigError):
        Stability(**{"sigma": 0.1, **wrong})
