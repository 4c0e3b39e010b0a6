"""AutoAttack on random views: against the package on a view that is random only in name, and by counting."""

import pyautoattack
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack
from torch import nn

from vqexp.adversaries import Oblivious, RandomView, View, WhiteBox
from vqexp.attacks import PGD, AutoAttack
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import ConfigError, SenselessError, WorkError
from vqexp.defenses import PRD, Defense, NoDefense, SwRD, adapted

STEPS = 12


class InName(Defense):
    """The identity, said to be random; it counts its draws, in images."""

    random = True

    def __init__(self):
        super().__init__()
        self.drawn = 0

    def forward(self, images, draw=None):
        self.drawn += len(images)
        return images


class Noise(Defense):
    """Fresh noise from the global generator at every call."""

    random = True

    def forward(self, images, draw=None):
        return (images + 0.15 * torch.randn(images.shape)).clamp(0, 1)


@pytest.fixture
def digits(digit_images, digit_classifier):
    """12 digits, f wrong on the third by its label."""
    labels = digit_images.labels[:12].clone()
    labels[2] = (labels[2] + 1) % 10
    return digit_images.pixels(slice(12)), labels


def view_of(classifier, defense, **settings):
    return WhiteBox(gradient="exact", **settings).view(classifier, defense)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.5)])
def test_the_points_are_the_packages(digits, digit_classifier, norm, eps):
    images, labels = digits
    found = AutoAttack(eps=eps, norm=norm, steps=STEPS).run(
        view_of(digit_classifier, InName(), samples=2), images, labels, seed=5
    )
    assert found.candidates.shape == (4, *images.shape)
    for loss, point in zip(("ce", "dlr"), found.candidates[::2], strict=True):
        package = APGDAttack(
            digit_classifier, n_iter=STEPS, norm={"linf": "Linf", "l2": "L2"}[norm], eps=eps, loss=loss
        )
        torch.manual_seed(Randomness(5, torch.arange(len(images))).seed)
        expected = package.perturb(images, labels, best_loss=True)
        torch.testing.assert_close(point, expected, rtol=0, atol=1e-5)
        assert (point != images).flatten(1).any(1).all()  # of the image that was wrong at once, too
        assert f"apgd-{loss}: {STEPS} steps of 2 draws" in found.facts["log"]


def test_the_flags_are_the_packages(digits, digit_classifier):
    images, labels = digits
    attack, flags, expected = AutoAttack(eps=0.08, steps=STEPS), [], []
    for image, label in zip(images.split(1), labels.split(1), strict=True):
        found = attack.run(view_of(digit_classifier, InName()), image, label, seed=5)
        flags.append(found.tensors["autoattack_flags"])
        package = pyautoattack.AutoAttack(digit_classifier, eps=0.08, seed=5, version="rand")
        package.apgd.n_iter, package.apgd.eot_iter = STEPS, 1
        expected.append(package.run_standard_evaluation(image, label)[1] == label)
    flags = torch.cat(flags)
    assert torch.equal(flags, torch.cat(expected))
    assert not flags[2]
    assert 0 < flags.sum() < len(flags) - 1


@pytest.mark.parametrize(("samples", "average"), [(1, "loss"), (3, "loss"), (3, "output"), (1, "output")])
def test_draws_are_averaged_once(digits, digit_classifier, samples, average):
    defense = InName()
    view = RandomView(digit_classifier, samples=samples, average=average)
    view.model = WhiteBox(gradient="exact").view(digit_classifier, defense).model
    found = AutoAttack(eps=0.1, steps=STEPS).run(view, *digits, seed=0)
    # each run averages STEPS + 1 gradients and asks twice more; the first call of all finds who is right
    asked = 5 * (samples if average == "output" else 1)
    measured = 3  # how much memory a second image takes beside the first
    assert defense.drawn == len(digits[0]) * (2 * samples * (STEPS + 1) + asked) + measured
    assert ("of 3 draws" in found.facts["log"]) == (samples == 3 and average == "loss")


def test_each_run_is_tested_on_one_more_draw(digits, digit_classifier):
    """A view that is wrong at its last call alone: the package would call every image broken."""
    images, labels = digits[0][3:], digits[1][3:]
    calls = []

    class Late(View):
        random = True

        def forward(self, images):
            calls.append(len(images))
            logits = digit_classifier(images)
            return -logits if len(calls) in wrong else logits

    def flags(*numbers):
        calls.clear()
        wrong[:] = numbers
        found = AutoAttack(eps=1e-6, steps=2).run(Late(nn.Identity()), images, labels, seed=0)
        assert len(calls) == 1 + 2 * (1 + 3 + 1)
        return found.tensors["autoattack_flags"]

    wrong = []
    right = digit_classifier(images).argmax(1) == labels
    assert torch.equal(flags(), right)
    assert not flags(1).any()  # at the first call
    assert torch.equal(flags(2), right)  # before APGD-CE: it then has nothing to break
    assert torch.equal(flags(4), right)  # on its way alone
    assert not flags(6).any()  # in the test
    assert not flags(11).any()


def test_it_is_at_least_as_strong_as_pgd_on_noise(digit_images, digit_classifier):
    """By the mean accuracy of each image's best candidate, on draws that neither attack saw."""
    images, labels = digit_images.pixels(slice(60)), digit_images.labels[:60]

    def accuracy(attack):
        torch.manual_seed(0)
        defense = Noise()
        found = attack.run(view_of(digit_classifier, defense, samples=4), images, labels, seed=0)
        with torch.no_grad():
            right = torch.stack(
                [
                    torch.stack(
                        [digit_classifier(defense(point)).argmax(1) == labels for _ in range(20)]
                    ).double()
                    for point in found.candidates
                ]
            ).mean(1)
        return right.min(0).values.mean().item()

    clean = (digit_classifier(images).argmax(1) == labels).double().mean().item()
    autoattack = accuracy(AutoAttack(eps=0.1, steps=20))
    assert autoattack <= accuracy(PGD(eps=0.1, steps=20, step_size=0.025)) + 0.02
    assert autoattack < clean - 0.2


def test_the_seed_decides_and_the_global_generator_does_not(digits, digit_classifier):
    attack = AutoAttack(eps=0.1, steps=3)

    def run(seed):
        torch.rand(1)
        before = torch.get_rng_state()
        defense = PRD(s=2, k=4, sigma=4 / 255, tau=4 / 255, pixel_max=1)
        found = attack.run(view_of(digit_classifier, defense, samples=2), *digits, seed)
        assert torch.equal(before, torch.get_rng_state())
        return found.candidates

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_two_classes_have_no_dlr(digits, digit_classifier):
    class Two(nn.Module):
        def forward(self, images):
            return digit_classifier(images)[:, :2]

    found = AutoAttack(eps=0.1, steps=2).run(view_of(Two(), InName()), digits[0], digits[1] % 2, seed=0)
    assert len(found.candidates) == 2


def test_a_nan_gradient_is_refused(digits, digit_classifier):
    class Broken(InName):
        def forward(self, images, draw=None):
            return images + 0 * (images - images).sqrt()

    with pytest.raises(WorkError, match="NaN"):
        AutoAttack(eps=0.1, steps=2).run(view_of(digit_classifier, Broken()), *digits, seed=0)


class Unknown(nn.Module):
    def forward(self, images):
        return images


def test_versions_for_the_other_view_are_refused(digits, digit_classifier):
    swrd = SwRD(s=2, k=4, sigma=0.1, tau=0.1, beta=5, pixel_max=1)
    white_box, known = WhiteBox(gradient="ste"), WhiteBox(draws="evaluation", gradient="ste")
    plus, rand, standard = (AutoAttack(eps=0.1, version=name) for name in ("plus", "rand", "standard"))
    for adversary, defense, wrong in (
        (white_box, swrd, plus),
        (known, swrd, rand),
        (Oblivious(cost="free"), swrd, rand),
        (Oblivious(cost="free"), NoDefense(), rand),
        (white_box, adapted(Unknown()), plus),  # not ours, so it may be random
    ):
        standard.check(adversary, defense, 10)
        (rand if wrong is plus else plus).check(adversary, defense, 10)
        with pytest.raises(SenselessError, match=f"attack.version={wrong.version}"):
            wrong.check(adversary, defense, 10)
        assert getattr(adversary.view(digit_classifier, defense), "random", False) == (wrong is plus)
        with pytest.raises(SenselessError, match=f"attack.version={wrong.version}"):
            wrong.run(adversary.view(digit_classifier, defense), *digits, seed=0)


def test_the_command_line_refuses_before_any_work(vqexp, tmp_path):
    for overrides in (["adversary=ste", "attack.version=plus"], ["attack.version=rand"]):
        status, _, err = vqexp("scale=smoke", "attack=autoattack", *overrides)
        assert status == 2
        assert "attack.version=" in err
    assert not (tmp_path / "store").exists() or not any((tmp_path / "store").rglob("*.safetensors"))
    assert issubclass(SenselessError, ConfigError)


def test_an_average_that_it_does_not_know_is_refused():
    adversary = WhiteBox(gradient="exact", samples=5, average="worst")
    with pytest.raises(SenselessError, match="AutoAttack averages by itself; choose loss or output"):
        AutoAttack(eps=0.1).check(adversary, SwRD(s=2, k=4, beta=5, sigma=0, tau=0), 10)
