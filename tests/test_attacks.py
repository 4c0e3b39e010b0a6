"""PGD, FGSM and AutoAttack: against torchattacks, the authors' package, closed forms, and the ball."""

import logging
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b

import pyautoattack
import pytest
import torch
import torchattacks
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from vqexp.attacks import FGSM, PGD, Adversarial, Attack, AutoAttack, NoAttack
from vqexp.attacks.randomness import Randomness
from vqexp.classifiers import load_checkpoint, resnet18
from vqexp.core.errors import ConfigError, WorkError
from vqexp.data import ImageFiles


@cache
def real():
    """A ResNet18 trained on CIFAR-10, 200 test images and their labels; skips without them."""
    checkpoint = ROOT.parent / "checkpoints" / "cifar10-resnet18.safetensors"
    if not checkpoint.exists() or not (ROOT / "cifar10" / "test.parquet").exists():
        pytest.skip(
            f"no {checkpoint} or no cifar10 under {ROOT}: set VQEXP_DATA to the folder of real images"
        )
    shape = (3, 32, 32)
    classifier = resnet18(shape, 10).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    load_checkpoint(classifier, checkpoint)
    images = ImageFiles(name="cifar10", shape=shape, num_classes=10, root=str(ROOT), n=200).test()
    return classifier, images.pixels(slice(None)), images.labels


@pytest.fixture
def digits(digit_images):
    """64 digits and their labels."""
    return digit_images.pixels(slice(64)), digit_images.labels[:64]


@torch.no_grad()
def losses(view, images, labels):
    return cross_entropy(view(images), labels, reduction="none")


@torch.no_grad()
def accuracy(view, images, labels):
    return (view(images).argmax(1) == labels).float().mean().item()


def length(images, other, norm):
    delta = (images.double() - other).flatten(1)
    return torch.linalg.vector_norm(delta, torch.inf if norm == "linf" else 2, dim=1)


# against torchattacks


def compare(view, images, labels, ours, theirs):
    """Accuracy within a point or an image, mean loss within 2 %, and an attack that does something."""
    for_ours, for_theirs = (accuracy(view, found, labels) for found in (ours, theirs))
    assert for_ours == pytest.approx(for_theirs, abs=max(0.01, 1.01 / len(images)))
    assert for_ours < accuracy(view, images, labels) - 0.05
    loss_of_ours, loss_of_theirs = (losses(view, found, labels).mean().item() for found in (ours, theirs))
    assert loss_of_ours == pytest.approx(loss_of_theirs, rel=0.02)


@contextmanager
def drawing_from(randomness):
    """What a library draws into a tensor of N images are these numbers."""

    def uniform_(self, low=0.0, high=1.0):
        return self.copy_(low + (high - low) * randomness.uniform(*self.shape[1:]))

    def normal_(self):
        return self.copy_(randomness.normal(self.shape[1:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", uniform_)
        patch.setattr(torch.Tensor, "normal_", normal_)
        yield


@pytest.mark.shared
def test_pgd_is_as_strong_as_torchattacks():
    classifier, images, labels = real()
    images, labels, eps = images[:6], labels[:6], 1 / 255
    attack = PGD(eps=eps, steps=3, step_size=eps / 2)
    reference = torchattacks.PGD(classifier, eps, eps / 2, steps=3, random_start=True)
    ours, theirs = [], []
    for seed, batch in enumerate(zip(images.split(3), labels.split(3), strict=True)):
        ours.append(attack.run(classifier, *batch, seed).images)
        with drawing_from(Randomness(seed, torch.arange(3))):  # both start from the same random points
            theirs.append(reference(*batch))
    compare(classifier, images, labels, torch.cat(ours), torch.cat(theirs))


@pytest.mark.parametrize(
    ("norm", "eps", "reference"), [("linf", 0.1, torchattacks.PGD), ("l2", 0.5, torchattacks.PGDL2)]
)
def test_pgd_on_digits_is_torchattacks(digit_images, digit_classifier, norm, eps, reference):
    """From the same random start the same path, but where a rounding crosses a kink of the network."""
    images, labels = digit_images.pixels(slice(None)), digit_images.labels
    attack = PGD(eps=eps, norm=norm, steps=20, step_size=eps / 5)
    ours = attack.run(digit_classifier, images, labels, seed=1).images
    with drawing_from(Randomness(1, torch.arange(len(images)))):
        theirs = reference(digit_classifier, eps, eps / 5, steps=20, random_start=True)(images, labels)
    compare(digit_classifier, images, labels, ours, theirs)
    assert (length(ours, theirs, "linf") < 1e-5).float().mean() > 0.95


def test_fgsm_is_torchattacks(digits, digit_classifier):
    images, labels = digits
    found = FGSM(eps=0.1).run(digit_classifier, images, labels, seed=0).images
    torch.testing.assert_close(
        found, torchattacks.FGSM(digit_classifier, 0.1)(images, labels), rtol=0, atol=1e-6
    )


# the authors' AutoAttack


class Recall(nn.Module):
    """A deterministic classifier that works out each answer, logits or gradient, only once.

    Asked again it remembers, so the second of two equal attacks costs next to nothing.
    """

    def __init__(self, classifier):
        super().__init__()
        self.classifier, self.answers = classifier, {}

    def forward(self, images):
        return Answer.apply(images, self)

    def ask(self, images):
        images = images.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            return images, self.classifier(images)


class Answer(torch.autograd.Function):
    """What `Recall` says."""

    @staticmethod
    def forward(ctx, images, recall):
        ctx.recall, ctx.images, ctx.question, ctx.asked = recall, images, digest(images), None
        if ctx.question not in recall.answers:
            if ctx.needs_input_grad[0]:
                ctx.asked = recall.ask(images)
                logits = ctx.asked[1]
            else:
                logits = recall.classifier(images)
            recall.answers[ctx.question] = logits.detach()
        return recall.answers[ctx.question].clone()

    @staticmethod
    def backward(ctx, weights):
        question = ctx.question + digest(weights)
        if question not in ctx.recall.answers:
            images, logits = ctx.asked or ctx.recall.ask(ctx.images)
            (gradient,) = torch.autograd.grad(logits, images, weights, retain_graph=True)
            ctx.recall.answers[question] = gradient
        return ctx.recall.answers[question].clone(), None


def digest(tensor):
    return blake2b(tensor.detach().numpy().tobytes(), digest_size=16).digest()


def check_against_the_package(view, images, labels, eps, batch_size, budget, **settings):
    """Our attack gives the package's images and verdicts, literally, of which some are robust, some not."""
    view = Recall(view)
    norm = "L2" if settings.get("norm") == "l2" else "Linf"
    version = settings.get("version", "standard")
    seed = Randomness(3, torch.arange(len(images))).seed
    package = pyautoattack.AutoAttack(view, norm=norm, eps=eps, seed=seed, version=version)
    package.apgd.n_iter = package.apgd_targeted.n_iter = package.fab.n_iter = budget["steps"]
    package.square.n_queries = budget["queries"]
    expected, predictions = package.run_standard_evaluation(images, labels, batch_size=batch_size)
    questions = len(view.answers)
    attack = AutoAttack(eps=eps, batch_size=batch_size, **settings, **budget)
    found = attack.run(view, images, labels, seed=3)
    flags = found.tensors["autoattack_flags"]
    assert torch.equal(flags, predictions == labels)
    assert torch.equal(found.images, expected)
    assert len(view.answers) <= questions + 1  # ours asks first how many classes there are

    clean = view(images).argmax(1) == labels
    changed = (found.images != images).flatten(1).any(1)
    assert torch.equal(changed, clean & ~flags)
    assert flags.any()
    assert changed.any()
    assert not clean.all()
    log = found.facts["log"]
    assert all(name in log for name in ("apgd-ce", "apgd-t", "fab-t", "square"))
    assert f"robust accuracy: {flags.float().mean():.2%}" in log


# test images that f gets wrong, that fall at once, and one that withstands all (which is what costs)
ROWS = [2, 5, 3, 101, 177, 192]


@pytest.mark.shared
def test_autoattack_is_the_packages():
    classifier, images, labels = real()
    budget = {"steps": 3, "queries": 20}  # in full, an image that withstands all takes minutes
    check_against_the_package(classifier, images[ROWS], labels[ROWS], 1 / 255, 4, budget)


SHORT = {"steps": 8, "queries": 50}


@pytest.mark.parametrize(
    ("eps", "settings"),
    [
        (0.08, {}),
        (0.45, {"norm": "l2"}),
        (0.08, {"version": "plus"}),
        (0.45, {"version": "plus", "norm": "l2"}),
    ],
)
def test_autoattack_is_the_packages_on_digits(digits, digit_classifier, eps, settings):
    images, labels = digits[0][:7], digits[1][:7].clone()
    labels[3] = (labels[3] + 1) % 10  # f is wrong there from the start
    check_against_the_package(digit_classifier, images, labels, eps, batch_size=3, budget=SHORT, **settings)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("version", ["standard", "plus"])
def test_autoattack_in_full_is_set_as_the_package_is(digits, digit_classifier, version, norm):
    """With no budget of ours each member has the package's own steps, restarts, targets and queries."""
    images = digits[0][:2]
    attack = AutoAttack(eps=0.08, norm=norm, version=version)
    ours, lines = attack.authors_attack(digit_classifier, images, seed=3)
    package = pyautoattack.AutoAttack(
        digit_classifier, norm={"linf": "Linf", "l2": "L2"}[norm], eps=0.08, seed=3, version=version
    )
    assert ours.attacks_to_run == package.attacks_to_run
    assert lines == []
    for name in ("apgd", "apgd_targeted", "fab", "square"):
        found, expected = vars(getattr(ours, name)), vars(getattr(package, name))
        assert {**found, "device": str(found["device"])} == {**expected, "device": str(expected["device"])}
    assert {ours.apgd.n_iter, ours.apgd_targeted.n_iter, ours.fab.n_iter} == {attack.lengths["steps"]}
    assert ours.square.n_queries == attack.lengths["queries"]


def test_autoattack_leaves_no_trace(digits, digit_classifier, capfd):
    images, labels = digits
    logger = logging.getLogger("auto-attack")
    attack = AutoAttack(eps=0.1, steps=2, queries=2)

    def state():
        return logger.level, logger.propagate, list(logger.handlers)

    def fail(images):
        raise ArithmeticError

    before, generator = state(), torch.get_rng_state()
    assert attack.run(digit_classifier, images, labels, seed=0).facts["log"]
    with pytest.raises(ArithmeticError):
        attack.run(fail, images, labels, seed=0)
    assert state() == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert capfd.readouterr() == ("", "")


class Counted(nn.Module):
    """A classifier that counts the images it sees."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier, self.images = classifier, 0

    def forward(self, images):
        self.images += len(images)
        return self.classifier(images)


def test_autoattack_spends_what_it_is_told(digits, digit_classifier):
    images, labels = digits[0][:20], digits[1][:20]

    def cost(**budget):
        view = Counted(digit_classifier)
        AutoAttack(eps=1e-6, **budget).run(view, images, labels, seed=0)
        return view.images

    robust = int((digit_classifier(images).argmax(1) == labels).sum())
    assert cost(steps=2, queries=9) - cost(steps=2, queries=2) == 7 * robust
    # one run of APGD-CE, 9 of APGD-T, and FAB-T's 9, which look twice each step
    assert cost(steps=5, queries=2) - cost(steps=2, queries=2) >= 3 * (1 + 9 + 9) * robust


def test_autoattack_takes_fewer_classes(digits, digit_classifier):
    images, labels = digits[0], digits[1] % 5
    found = AutoAttack(eps=0.1, steps=3, queries=3).run(
        lambda images: digit_classifier(images)[:, :5], images, labels, seed=0
    )
    assert "target classes" not in found.facts["log"]
    assert (found.images != images).any()


@pytest.mark.parametrize("shift", [0, 1])
def test_autoattack_where_all_or_nothing_is_robust(digits, digit_classifier, shift):
    images = digits[0][:4]
    labels = (digit_classifier(images).argmax(1) + shift) % 10
    found = AutoAttack(eps=1e-6, steps=2, queries=2).run(digit_classifier, images, labels, seed=0)
    assert torch.equal(found.images, images)
    assert (found.tensors["autoattack_flags"] == (shift == 0)).all()


# closed forms and properties


def linear(weight):
    """Two logits, 0 and weight . x: the loss of label 0 grows along `weight`."""
    view = nn.Sequential(nn.Flatten(), nn.Linear(weight.numel(), 2, bias=False))
    view[1].weight.data = torch.stack([torch.zeros(weight.numel()), weight.flatten()])
    return view.requires_grad_(False)


@pytest.mark.parametrize("random_start", [True, False])
def test_pgd_reaches_the_optimum_of_a_linear_model(random_start):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 3, 4, 4, generator=generator)
    images, labels = torch.rand(8, 3, 4, 4, generator=generator), torch.zeros(8, dtype=torch.long)
    images[0], images[1] = 0, 1
    attack = PGD(eps=0.3, steps=10, step_size=0.1, random_start=random_start)
    found = attack.run(linear(weight), images, labels, seed=0).images
    torch.testing.assert_close(found, (images + 0.3 * weight.sign()).clamp(0, 1), rtol=0, atol=1e-6)

    images = 0.35 + 0.3 * images  # the ball is inside the box
    attack = PGD(eps=0.3, norm="l2", steps=40, step_size=0.3, random_start=random_start)
    found = attack.run(linear(weight), images, labels, seed=0).images
    torch.testing.assert_close(found, images + 0.3 * weight / weight.norm(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_restarts_never_lower_the_loss(digits, digit_classifier, norm):
    images, labels = digits

    def run(restarts):
        attack = PGD(eps=0.3, norm=norm, steps=2, step_size=0.1, restarts=restarts)
        found = attack.run(digit_classifier, images, labels, seed=0)
        loss = found.tensors["loss"]
        torch.testing.assert_close(loss, losses(digit_classifier, found.images, labels))
        return loss

    one, two, five = run(1), run(2), run(5)
    assert (one <= two).all()
    assert (two <= five).all()
    assert (one < five).any()


@settings(max_examples=60)
@given(
    eps=st.floats(0, 5) | st.sampled_from([0.0, 1e-9, 8 / 255, 1.0]),
    step=st.floats(0, 1, exclude_min=True),
    norm=st.sampled_from(["linf", "l2"]),
    random_start=st.booleans(),
    steps=st.integers(1, 3),
    seed=st.integers(0, 2**31 - 1),
)
def test_pgd_stays_in_ball_and_box(eps, step, norm, random_start, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    images = (3 * torch.rand(4, 3, 16, 16, generator=generator) - 1).clamp(0, 1)  # two thirds at the edges
    images[0] = images[0, 0, 0, 0]
    view = linear(torch.randn(3, 16, 16, generator=generator))
    attack = PGD(eps=eps, norm=norm, steps=steps, step_size=step, random_start=random_start)
    found = attack.run(view, images, torch.arange(4) % 2, seed)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert length(found.images, images, norm).max() <= eps + 1e-6
    assert found.facts["violation"] <= 1e-6


@pytest.mark.parametrize("eps", [0.5, 3.0])
@pytest.mark.parametrize("level", [0.3, 0.7, 1.0])
def test_rounding_keeps_a_large_image_in_its_ball(eps, level):
    images = torch.full((1, 3, 328, 328), level)
    attack = PGD(eps=eps, norm="l2", steps=3, step_size=eps, random_start=False)
    weight = torch.full((3, 328, 328), -1e-6)  # the same step at every pixel, so the same rounding
    found = attack.run(linear(weight), images, torch.tensor([0]), seed=0).images
    assert length(found, images, "l2").item() == pytest.approx(eps, rel=1e-3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_eps_0_returns_the_images(digits, digit_classifier, norm):
    images, labels = digits
    for attack in (
        PGD(eps=0, norm=norm, steps=3, step_size=0.1),
        FGSM(eps=0, norm=norm),
        AutoAttack(eps=0, norm=norm, steps=2, queries=2),
        NoAttack(norm=norm),
    ):
        assert torch.equal(attack.run(digit_classifier, images, labels, seed=0).images, images)


@pytest.mark.parametrize(
    "attack", [PGD(eps=0.2, steps=3, step_size=0.1), AutoAttack(eps=0.2, steps=3, queries=9)]
)
def test_the_seed_decides(digits, digit_classifier, attack):
    def run(seed):
        torch.rand(1)  # the state of the global generator does not matter
        return attack.run(digit_classifier, *digits, seed).images

    images = run(1)
    assert torch.equal(images, run(1))
    assert not torch.equal(images, run(2))


# refusals


class Broken(Attack):
    """Returns the images after `change`."""

    def __init__(self, change, **settings):
        super().__init__(**settings)
        self.change = change

    def perturb(self, view, images, labels, seed):
        return Adversarial(self.change(images))


def one_pixel(value):
    def change(images):
        images = images.clone()
        images[-1, -1, -1, -1] = value
        return images

    return change


@pytest.mark.parametrize(
    ("norm", "change"),
    [
        ("linf", lambda images: images + 0.1 + 2e-6),
        ("linf", one_pixel(0.5 + 0.11)),
        ("linf", one_pixel(torch.nan)),
        ("l2", one_pixel(-torch.inf)),
        ("l2", lambda images: images + 0.02),  # 0.16 in l2
        ("l2", one_pixel(torch.nan)),
    ],
)
def test_an_attack_that_leaves_its_ball_is_refused(norm, change):
    images, labels = torch.full((3, 1, 8, 8), 0.5), torch.zeros(3, dtype=torch.long)
    with pytest.raises(WorkError, match=f"Broken left its {norm} ball"):
        Broken(change, eps=0.1, norm=norm).run(nn.Identity(), images, labels, seed=0)
    assert Broken(lambda x: x + 0.1 / 8, eps=0.1, norm=norm).run(nn.Identity(), images, labels, seed=0)


@pytest.mark.parametrize(("level", "change"), [(0.0, -0.05), (1.0, 0.05)])
def test_an_attack_that_leaves_the_box_is_refused(level, change):
    images, labels = torch.full((3, 1, 8, 8), level), torch.zeros(3, dtype=torch.long)
    with pytest.raises(WorkError, match=r"or \[0, 1\] by 0.05"):
        Broken(lambda images: images + change, eps=0.1).run(nn.Identity(), images, labels, seed=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_view_without_a_usable_gradient_is_refused(digits, digit_classifier, norm):
    """An attack that silently gave the clean images back would look like a robust classifier."""

    def view(images):
        return digit_classifier(images + 0 * (images - images).sqrt())  # right, but its gradient is 0 * inf

    assert torch.equal(view(digits[0]), digit_classifier(digits[0]))
    with pytest.raises(WorkError, match="NaN"):
        PGD(eps=0.1, norm=norm, steps=2, step_size=0.1).run(view, *digits, seed=0)


BUDGET = {"steps": 3, "step_size": 0.1}


@pytest.mark.parametrize(
    ("attack", "wrong", "reason"),
    [
        (PGD, {"eps": -0.1, **BUDGET}, r"attack\.eps is -0\.1; it must be a number >= 0"),
        (PGD, {"eps": float("nan"), **BUDGET}, r"attack\.eps is nan; it must be a number >= 0"),
        (PGD, {**BUDGET, "steps": 0}, r"attack\.steps is 0; it must be an integer >= 1"),
        (PGD, {**BUDGET, "steps": 1.5}, r"attack\.steps is 1\.5; it must be an integer >= 1"),
        (PGD, {**BUDGET, "step_size": -1}, r"attack\.step_size is -1; it must be a number > 0 and <= 1"),
        (PGD, {**BUDGET, "restarts": 0}, r"attack\.restarts is 0; it must be an integer >= 1 and <= 1000"),
        (PGD, {**BUDGET, "random_start": "yes"}, r"attack\.random_start is 'yes'; it must be true or false"),
        (
            PGD,
            {**BUDGET, "confidence": 1},
            r"attack\.confidence is a margin; with attack\.loss=ce it must be null",
        ),
        (
            PGD,
            {**BUDGET, "loss": "margin", "confidence": -1},
            r"attack\.confidence is -1; it must be a number >= 0",
        ),
        (PGD, {**BUDGET, "norm": "l7"}, r"attack\.norm is 'l7'; it must be one of linf, l2"),
        (FGSM, {"eps": -1}, r"attack\.eps is -1; it must be a number >= 0"),
        (FGSM, {"batch_size": 0}, r"attack\.batch_size is 0; it must be an integer >= 1"),
        (AutoAttack, {"version": "foo"}, r"attack\.version is 'foo'; it must be one of standard, plus, rand"),
        (AutoAttack, {"steps": 0}, r"attack\.steps is 0; it must be an integer >= 1"),
        (AutoAttack, {"queries": 0}, r"attack\.queries is 0; it must be an integer >= 1"),
        (AutoAttack, {"norm": "l7"}, r"attack\.norm is 'l7'; it must be one of linf, l2"),
    ],
)
def test_bad_settings_are_refused(attack, wrong, reason):
    with pytest.raises(ConfigError, match=f"^{reason}$"):
        attack(**{"eps": 0.1, **wrong})
