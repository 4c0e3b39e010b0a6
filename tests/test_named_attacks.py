"""Attacks of torchattacks and foolbox by the names of their classes: against direct calls, and mistakes."""

import foolbox
import pytest
import torch
import torchattacks

from vqexp.adversaries import Query
from vqexp.attacks import Foolbox, TorchAttacks
from vqexp.core.errors import ConfigError, SenselessError, WorkError
from vqexp.defenses import NoDefense


@pytest.fixture
def digits(digit_images):
    """16 digits and their labels."""
    return digit_images.pixels(slice(16)), digit_images.labels[:16]


def length(images, other, norm):
    return (images - other).flatten(1).norm(torch.inf if norm == "linf" else 2, dim=1)


def test_torchattacks_gets_eps_and_settings(digits, digit_classifier):
    settings = {"steps": 4, "alpha": 0.05, "random_start": False}
    found = TorchAttacks(name="PGD", eps=0.1, settings=settings).run(digit_classifier, *digits, seed=0)
    expected = torchattacks.PGD(digit_classifier, eps=0.1, **settings)(*digits)
    assert torch.equal(found.images, expected)
    assert found.facts["log"].startswith("torchattacks.PGD, linf, eps 0.1, {'steps': 4")


def test_a_step_size_that_is_not_set_grows_with_eps(digits, digit_classifier):
    """torchattacks' default of 2/255 would not reach the edge of this ball."""
    found = TorchAttacks(name="PGD", eps=0.3).run(digit_classifier, *digits, seed=0).images
    assert length(found, digits[0], "linf").min() == pytest.approx(0.3, abs=1e-6)


def test_norm_seed_and_classes_are_those_of_the_run(digits, digit_classifier):
    attack = TorchAttacks(name="APGDT", eps=0.5, norm="l2", settings={"steps": 3})
    first, again = (attack.run(digit_classifier, *digits, seed=3).images for _ in range(2))
    assert torch.equal(first, again)
    direct = torchattacks.APGDT(digit_classifier, norm="L2", eps=0.5, steps=3, seed=0, n_classes=10)
    assert direct.norm == "L2"
    assert 0.4 < length(first, digits[0], "l2").max() <= 0.5 + 1e-6
    few = torch.nn.Sequential(digit_classifier, torch.nn.Linear(10, 4))
    attack.run(few, digits[0], digits[1] % 4, seed=3)  # its default of 10 classes would fail


def test_foolbox_at_eps_is_foolboxs(digits, digit_classifier):
    attack = Foolbox(name="LinfPGD", eps=0.1, settings={"steps": 5, "random_start": False})
    found = attack.run(digit_classifier, *digits, seed=0).images
    model = foolbox.PyTorchModel(digit_classifier, bounds=(0, 1), device="cpu")
    direct = foolbox.attacks.LinfPGD(steps=5, random_start=False)
    _, expected, _ = direct(model, *digits, epsilons=0.1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_nearest_points_are_projected(digits, digit_classifier):
    """Where foolbox finds them within the ball they stay, else they come back to its edge."""
    images, labels = digits
    found = Foolbox(name="L2DeepFoolAttack", eps=0.45, norm="l2").run(digit_classifier, images, labels, 0)
    model = foolbox.PyTorchModel(digit_classifier, bounds=(0, 1), device="cpu")
    raw, _, _ = foolbox.attacks.L2DeepFoolAttack()(model, images, labels, epsilons=None)
    far = length(raw, images, "l2") > 0.45
    assert 0 < far.sum() < len(far)
    torch.testing.assert_close(found.images[~far], raw[~far], rtol=0, atol=1e-6)
    assert length(found.images, images, "l2")[far].tolist() == pytest.approx([0.45] * int(far.sum()))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: TorchAttacks(name="PDG", eps=0.1), r"attack\.name is 'PDG'; it must be one of APGD, .*PGD"),
        (lambda: Foolbox(name="PGD2", eps=0.1), r"attack\.name is 'PGD2'; it must be one of .*LinfPGD"),
        (
            lambda: TorchAttacks(name="BIM", eps=0.1, settings={"step": 3}),
            r"attack\.settings has no step; torchattacks\.BIM takes alpha, steps",
        ),
        (
            lambda: TorchAttacks(name="BIM", eps=0.1, settings={"eps": 3}),
            r"attack\.settings has no eps; torchattacks\.BIM takes alpha, steps",
        ),
        (
            lambda: TorchAttacks(name="BIM", eps=0.1, settings={"steps": "x"}),
            r"attack\.settings\.steps is 'x'; it must be a number >= 0",
        ),
        (
            lambda: TorchAttacks(name="PGD", eps=0.1, settings={"random_start": 3}),
            r"attack\.settings\.random_start is 3; it must be true or false",
        ),
        (
            lambda: Foolbox(name="LinfPGD", eps=0.1, settings={"steps": -3}),
            r"attack\.settings\.steps is -3; it must be a number >= 0",
        ),
        (
            lambda: Foolbox(name="LinfPGD", eps=0.1, settings={"rel_stepsize": float("nan")}),
            r"attack\.settings\.rel_stepsize is nan",
        ),
        (
            lambda: Foolbox(name="LinfPGD", eps=0.1, settings={"lr": 3}),
            r"attack\.settings has no lr; foolbox\.LinfPGD takes rel_stepsize, abs_stepsize, steps",
        ),
        (
            lambda: Foolbox(name="VirtualAdversarialAttack", eps=0.1, norm="l2"),
            r"foolbox\.VirtualAdversarialAttack cannot be built: .*missing .*'steps'",
        ),
    ],
)
def test_mistakes_name_what_exists(made, reason):
    with pytest.raises(ConfigError, match=f"^{reason}") as error:
        made()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "name", "own"),
    [
        (TorchAttacks, "PGDL2", "l2"),
        (Foolbox, "L2AdditiveGaussianNoiseAttack", "l2"),
        (Foolbox, "L1PGD", "l1"),
        (TorchAttacks, "JSMA", "l0"),
    ],
)
def test_a_ball_of_another_norm_is_refused(kind, name, own):
    """An l2 radius of 8/255 would look like robustness."""
    with pytest.raises(SenselessError, match=rf"attack\.norm is linf, but \w+\.{name} measures in {own}"):
        kind(name=name, eps=8 / 255)


def test_what_the_library_raises_is_one_line(digits):
    class Broken(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :10].detach()  # no gradient

    with pytest.raises(WorkError, match=r"^torchattacks\.FGSM fails: RuntimeError: .* does not require grad"):
        TorchAttacks(name="FGSM", eps=0.1).run(Broken(), *digits, seed=0)


@pytest.mark.parametrize("name", ["Square", "SPSA"])
def test_scores_are_enough_for_some(digits, digit_classifier, name):
    settings = {"Square": {"n_queries": 20}, "SPSA": {"nb_iter": 1, "nb_sample": 4}}[name]
    attack = TorchAttacks(name=name, eps=0.2, settings=settings)
    view = Query(cost="single", samples=1).view(digit_classifier, NoDefense())
    assert not attack.needs_gradient
    assert (attack.run(view, *digits, seed=0).images != digits[0]).any()
    assert TorchAttacks(name="PGD", eps=0.2).needs_gradient


def test_on_the_command_line(vqexp):
    few = ["scale=smoke", "training.epochs=1", "adversary=ste"]
    status, out, err = vqexp(*few, "attack=torchattacks", "attack.name=BIM", "attack.settings.steps=2")
    assert status == 0, err
    assert "robust accuracy" in out
    status, _, err = vqexp(*few, "attack=foolbox", "attack.name=LinfPGD", "attack.settings.stepz=2")
    assert status == 2
    assert "attack.settings has no stepz" in err
    status, _, err = vqexp(*few, "attack=foolbox")
    assert status == 2
    assert "attack.name" in err
