"""A defended classifier is a plain module: torchattacks, foolbox and AutoAttack take it as it is."""

import foolbox
import pyautoattack
import pytest
import torch
import torchattacks
from torch.nn.functional import cross_entropy

import vqexp
from vqexp.defenses import PRD, RandDisc, SwRD

EPS = 0.2
AUTOATTACK_EPS = 0.4
NOISE = {"sigma": 4 / 255, "tau": 4 / 255}
DEFENSES = {
    "swrd": SwRD(s=2, k=4, beta=5.0, **NOISE),
    "prd": PRD(s=2, k=4, **NOISE),
    "randdisc": RandDisc(k=4, **NOISE),
}


def with_torchattacks(attack, **settings):
    def run(model, images, labels):
        return attack(model, eps=EPS, **settings)(images, labels)

    return run


def with_foolbox(model, images, labels):
    attack = foolbox.attacks.LinfPGD(steps=5, abs_stepsize=EPS / 4)
    _, found, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 1)), images, labels, epsilons=EPS)
    return found


def with_autoattack(model, images, labels):
    # its standard version, literally; at a larger eps images fall early, which saves minutes
    attack = pyautoattack.AutoAttack(model, norm="Linf", eps=AUTOATTACK_EPS, seed=0)
    return attack.run_standard_evaluation(images, labels)[0]


ATTACKS = {
    "torchattacks-fgsm": with_torchattacks(torchattacks.FGSM),
    "torchattacks-pgd": with_torchattacks(torchattacks.PGD, alpha=EPS / 4, steps=5),
    "foolbox-pgd": with_foolbox,
    "autoattack": with_autoattack,
}


@torch.no_grad()
def accuracy(model, images, labels, draws=16):
    """The mean over draws: of 12 images, a single draw may lose half."""
    return sum((model(images).argmax(1) == labels).float().mean() for _ in range(draws)) / draws


@pytest.fixture(params=DEFENSES)
def attacked(request, digit_images, digit_classifier):
    """A defended classifier, 12 digits and their labels."""
    model = vqexp.defend(digit_classifier, DEFENSES[request.param]).eval()
    return model, digit_images.pixels(slice(12)), digit_images.labels[:12]


@pytest.mark.parametrize("attack", ATTACKS)
def test_libraries_attack_a_defended_classifier(attacked, attack):
    model, images, labels = attacked
    kept = images.clone()
    found = ATTACKS[attack](model, images, labels)
    assert torch.equal(images, kept)
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - images).abs().max() <= (AUTOATTACK_EPS if attack == "autoattack" else EPS) + 1e-6
    before, after = (accuracy(model, batch, labels) for batch in (images, found))
    assert before > 0.6
    assert after < before - 0.3


def test_gradients_reach_every_image(attacked):
    model, images, labels = attacked
    images = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(cross_entropy(model(images), labels, reduction="sum"), images)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).abs().amax(1) > 0).all()
