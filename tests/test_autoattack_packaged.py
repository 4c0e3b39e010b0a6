"""AutoAttack as packaged, on random views: what calling the package by hand says."""

import pyautoattack
import pytest
import torch

from vqexp.adversaries import WhiteBox
from vqexp.attacks import PackagedAutoAttack
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import ConfigError
from vqexp.core.modes import freeze
from vqexp.defenses import AdditiveNoise, NoDefense

SHORT = {"eps": 0.08, "steps": 4, "queries": 10}


@pytest.fixture
def digits(digit_images):
    return digit_images.pixels(slice(12)), digit_images.labels[:12]


def view_of(classifier, **settings):
    """The view on noise that f does not mind much."""
    return freeze(WhiteBox(gradient="exact", **settings).view(classifier, AdditiveNoise(sigma=0.1)))


@pytest.mark.parametrize(
    ("version", "draws"), [("rand", "fresh"), ("standard", "fresh"), ("standard", "held")]
)
def test_images_and_flags_are_the_packages(digits, digit_classifier, version, draws):
    (images, labels), ids = digits, torch.arange(12)
    attack = PackagedAutoAttack(version=version, **SHORT)
    found = attack.run(view_of(digit_classifier, draws=draws), images, labels, seed=5)

    view, seed = view_of(digit_classifier, draws=draws), Randomness(5, ids).seed
    view.start(5, ids)
    view(images[:1])  # ours asks once how many classes there are
    package = pyautoattack.AutoAttack(view, eps=SHORT["eps"], seed=seed, version=version)
    for stepped in (package.apgd, package.apgd_targeted, package.fab):
        stepped.n_iter = SHORT["steps"]
    package.square.n_queries = SHORT["queries"]
    with torch.random.fork_rng():
        expected, predicted = package.run_standard_evaluation(images, labels, batch_size=100)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-6)
    assert torch.equal(found.tensors["autoattack_flags"], predicted == labels)
    assert f"using {version} version" in found.facts["log"]
    assert 0 < found.tensors["autoattack_flags"].sum() < 12


def test_the_clean_image_is_returned_where_the_package_found_nothing(digits, digit_classifier):
    images, labels = digits
    found = PackagedAutoAttack(version="rand", **SHORT).run(view_of(digit_classifier), images, labels, seed=5)
    kept = found.tensors["autoattack_flags"]
    assert torch.equal(found.images[kept], images[kept])
    assert found.candidates is None


def test_draws_are_not_averaged_twice():
    attack, noise = PackagedAutoAttack(**SHORT), AdditiveNoise(sigma=0.1)
    with pytest.raises(ConfigError, match="samples=1"):
        attack.check(WhiteBox(gradient="exact", samples=2), noise, 10)
    attack.check(WhiteBox(gradient="exact"), noise, 10)
    attack.check(WhiteBox(gradient="exact"), NoDefense(), 10)
