"""Attacks of other libraries, and random noise: against direct calls, closed forms, and the ball."""

import foolbox
import pytest
import torch
import torchattacks
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from torch import nn

from vqexp.adversaries import Query, View, WhiteBox
from vqexp.attacks import MIFGSM, AutoAttack, Boundary, CarliniWagner, DeepFool, RandomNoise
from vqexp.attacks.minimal import MinimalL2
from vqexp.attacks.randomness import Randomness
from vqexp.core.components import build
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.errors import ConfigError, WorkError
from vqexp.defenses import SwRD

MI = {"steps": 4, "step_size": 0.05, "decay": 1}
DEEP = {"steps": 5, "overshoot": 0.02}
CW = {"c": 1, "confidence": 0, "steps": 20, "lr": 0.1}
WALK = {"steps": 20, "start_directions": 10, "start_steps": 10}

ATTACKS = {
    "mifgsm": lambda eps: MIFGSM(eps=eps, **MI),
    "deepfool": lambda eps: DeepFool(eps=eps, **DEEP),
    "cw": lambda eps: CarliniWagner(eps=eps, **CW),
    "boundary": lambda eps: Boundary(eps=eps, **WALK),
    "noise": lambda eps: RandomNoise(eps=eps),
    "noise_l2": lambda eps: RandomNoise(eps=eps, norm="l2"),
    "autoattack": lambda eps: AutoAttack(eps=eps, steps=2, queries=5),
    "autoattack_l2": lambda eps: AutoAttack(eps=eps, norm="l2", steps=2, queries=5),
}
VIEWS = {
    "eot": WhiteBox(gradient="exact", samples=2),
    "ste": WhiteBox(gradient="ste"),
    "known": WhiteBox(draws="evaluation", gradient="exact"),
    "query": Query(cost="single", samples=1),
    "f": None,
}


@pytest.fixture
def digits(digit_images):
    """8 digits and their labels."""
    return digit_images.pixels(slice(8)), digit_images.labels[:8]


def view_of(name, classifier):
    swrd = SwRD(s=2, k=4, sigma=4 / 255, tau=4 / 255, beta=5, pixel_max=1)
    return classifier if VIEWS[name] is None else VIEWS[name].view(classifier, swrd).eval()


def length(images, other, norm="l2"):
    delta = (images.double() - other).flatten(1)
    return torch.linalg.vector_norm(delta, torch.inf if norm == "linf" else 2, dim=1)


# what all of them must do


def combinations():
    """Attacks and views; of those that cost most, some."""
    for attack, make in ATTACKS.items():
        for view in ("f", "ste", "query") if "autoattack" in attack or attack == "deepfool" else VIEWS:
            if view != "query" or not make(0).needs_gradient:
                yield attack, view


@pytest.mark.parametrize(("attack", "view"), combinations())
def test_ball_box_and_seed(digits, digit_classifier, attack, view):
    images, labels = digits
    eps = 0.6 if ATTACKS[attack](0).norm == "l2" else 0.15
    made = ATTACKS[attack](eps)
    first, again = (made.run(view_of(view, digit_classifier), images, labels, seed=4) for _ in range(2))
    points = first.images if first.candidates is None else first.candidates.flatten(0, 1)
    clean = images.repeat(len(points) // len(images), 1, 1, 1)
    assert length(points, clean, made.norm).max() <= eps + 1e-6
    assert points.min() >= 0
    assert points.max() <= 1
    assert torch.equal(first.images, again.images)
    assert (first.images != images).any()


@pytest.mark.parametrize("attack", ATTACKS)
def test_eps_0_returns_the_images(digits, digit_classifier, attack):
    found = ATTACKS[attack](0).run(view_of("ste", digit_classifier), *digits, seed=4)
    assert torch.equal(found.images, digits[0])


class Mixed(nn.Module):
    """A classifier with a batch norm left in training mode on purpose; its parameters want gradients."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier, self.norm = classifier, nn.BatchNorm2d(1)
        self.norm.train()
        classifier.eval()

    def forward(self, images):
        return self.classifier(images)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_view_is_left_as_it_was(digits, digit_classifier, attack, capfd):
    view = Mixed(digit_classifier)
    modes = [module.training for module in view.modules()]
    assert len(set(modes)) == 2
    generator = torch.get_rng_state()
    ATTACKS[attack](0.1).run(view, *digits, seed=0)
    assert [module.training for module in view.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("attack", ["mifgsm", "deepfool", "cw"])
def test_a_nan_gradient_is_refused(digits, digit_classifier, attack):
    with pytest.raises(WorkError, match="NaN"):
        ATTACKS[attack](0.1).run(
            lambda images: digit_classifier(images + 0 * (images - images).sqrt()), *digits, seed=0
        )


# against direct calls


def test_mifgsm_is_torchattacks(digits, digit_classifier):
    images, labels = digits
    found = MIFGSM(eps=0.1, **MI).run(digit_classifier, images, labels, seed=0).images
    expected = torchattacks.MIFGSM(digit_classifier, eps=0.1, alpha=0.05, steps=4, decay=1)(images, labels)
    assert torch.equal(found, expected)
    plain = MIFGSM(eps=0.1, **{**MI, "decay": 0}).run(digit_classifier, images, labels, seed=0).images
    assert not torch.equal(found, plain)


def check_minimal(found, expected, images, labels, classifier, eps):
    """Distances and images of a minimal attack, from the points of a direct call."""
    wrong = classifier(expected).argmax(1) != labels
    distances = length(expected, images)
    within = distances <= eps
    assert wrong.any()
    assert (wrong & within).any()
    assert (wrong & ~within).any()
    assert torch.equal(found.tensors["distance"].isfinite(), wrong)
    torch.testing.assert_close(found.tensors["distance"][wrong], distances[wrong].float())
    torch.testing.assert_close(found.images[within], expected[within], rtol=0, atol=1e-6)
    shrunk = images + (expected - images) * (eps / distances).float().view(-1, 1, 1, 1)
    torch.testing.assert_close(found.images[~within], shrunk[~within], rtol=0, atol=1e-6)
    assert found.facts["found"] == wrong.sum()
    assert found.facts["found_within_eps"] == (wrong & within).sum()
    assert found.facts["mean_distance"] == pytest.approx(distances[wrong].mean().item())


def test_deepfool_is_torchattacks(digit_images, digit_classifier):
    images, labels = digit_images.pixels(slice(20)), digit_images.labels[:20].clone()
    labels[3] = (labels[3] + 1) % 10
    found = DeepFool(eps=0.45, **DEEP).run(digit_classifier, images, labels, seed=0)
    expected = torchattacks.DeepFool(digit_classifier, **DEEP)(images, labels)
    check_minimal(found, expected, images, labels, digit_classifier, 0.45)
    assert torch.equal(found.images[3], images[3])
    assert found.tensors["distance"][3] == 0


def test_cw_is_torchattacks(digit_images, digit_classifier):
    """Away from 0 and 1, and on logits >= 0, where torchattacks' own is right."""
    images, labels = 0.1 + 0.8 * digit_images.pixels(slice(20)), digit_images.labels[:20]

    def shifted(images):
        logits = digit_classifier(images)
        return logits - logits.min(dim=1, keepdim=True).values.detach()

    attack = torchattacks.CW(nn.Module(), c=1, kappa=0, steps=20, lr=0.1)
    attack.model, attack.device = nn.Identity(), images.device
    attack.get_logits = shifted
    expected = attack(images, labels)
    found = CarliniWagner(eps=0.45, **CW).run(digit_classifier, images, labels, seed=0)
    check_minimal(found, expected, images, labels, digit_classifier, 0.45)


def test_cw_does_not_depend_on_a_shift_of_the_logits(digits, digit_classifier):
    images, labels = digits

    def distances(shift):
        found = CarliniWagner(eps=9, **CW).run(
            lambda images: digit_classifier(images) + shift, images, labels, seed=0
        )
        return found.tensors["distance"]

    expected = distances(0)
    assert expected.isfinite().sum() >= 4
    for shift in (-30, 30):
        torch.testing.assert_close(distances(shift), expected, rtol=1e-2, atol=1e-3)


def test_cw_moves_black_and_white_pixels():
    """tanh never reaches 0 and 1, so a pixel that starts there has to start beside it."""
    images, labels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1])
    view = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))  # white is class 1
    view[1].weight.data, view[1].bias.data = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, -0.5])
    attack = CarliniWagner(eps=1, c=10, confidence=0, steps=300, lr=0.5)
    distances = attack.run(view, images, labels, seed=0).tensors["distance"]
    assert ((distances > 0.5 - 1e-4) & (distances < 0.7)).all()
    raw = torchattacks.CW(view, c=10, steps=300, lr=0.5)(images, labels)
    assert torch.equal(raw, images)  # what it does by itself


class Counted(nn.Module):
    """A classifier that counts its calls."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier, self.calls = classifier, 0

    def forward(self, images):
        self.calls += 1
        return self.classifier(images)


def test_the_boundary_walk_comes_closer(digit_images, digit_classifier):
    images, labels = digit_images.pixels(slice(20)), digit_images.labels[:20].clone()
    labels[3] = (labels[3] + 1) % 10

    def run(steps):
        view = Counted(digit_classifier)
        attack = Boundary(eps=1.2, steps=steps, start_directions=200, start_steps=50)
        return attack.run(view, images, labels, seed=2), view.calls

    (start, few), (found, many) = run(1), run(400)
    assert many - few == 399 + 40
    before, after = start.tensors["distance"], found.tensors["distance"]
    assert torch.equal(before.isfinite(), after.isfinite())
    reached = after.isfinite() & (after > 0)
    assert reached.sum() >= 15
    assert (after <= before).all()
    assert (after < before)[reached].float().mean() > 0.9
    assert after[3] == 0
    assert torch.equal(found.images[3], images[3])
    within = after <= 1.2
    assert within[reached].any()
    assert (digit_classifier(found.images[within]).argmax(1) != labels[within]).all()
    torch.testing.assert_close(length(found.images, images)[within].float(), after[within])


def test_the_boundary_walk_is_foolboxs(digits, digit_classifier):
    images, labels = digits
    found = Boundary(eps=9, steps=50, start_directions=200, start_steps=50).run(
        digit_classifier, images, labels, seed=6
    )
    torch.manual_seed(Randomness(6, torch.arange(len(images))).seed)
    start = foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(directions=200, steps=50)
    attack = foolbox.attacks.BoundaryAttack(init_attack=start, steps=50)
    model = foolbox.PyTorchModel(digit_classifier.eval(), bounds=(0, 1), device="cpu")
    expected, _, _ = attack(model, images, labels, epsilons=None)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-6)


def test_without_a_start_the_boundary_attack_leaves_the_image(digits):
    """A classifier that only knows one class."""
    images = digits[0]
    view = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    nn.init.zeros_(view[1].weight)
    view[1].bias.data = torch.tensor([0.0, 1.0, 0.0])
    found = Boundary(eps=1, **WALK).run(view, images, torch.ones(8, dtype=torch.long), seed=0)
    assert torch.equal(found.images, images)
    assert found.tensors["distance"].isinf().all()
    assert found.facts["mean_distance"] is None


class Fickle(View):
    """Answers at random, what is no number not at all."""

    random = True

    def forward(self, images):
        assert images.isfinite().all()
        return torch.rand(len(images), 10)


def test_a_view_that_changes_its_mind_does_not_stop_the_boundary_attack(digits):
    images, labels = digits
    for seed in range(10):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found = Boundary(eps=0.5, **WALK).run(Fickle(nn.Identity()), images, labels, seed)
        assert found.images.isfinite().all()


class Resigned(Fickle):
    """Right near the images until a start is found, and wrong everywhere from then on."""

    def __init__(self, images, labels):
        super().__init__(nn.Identity())
        self.images, self.labels, self.asked = images, labels, 0

    def forward(self, images):
        self.asked += 1
        wrong = (images - self.images).flatten(1).abs().mean(1) > 0.1
        logits = super().forward(images)
        return logits.scatter(1, ((self.labels + (wrong | (self.asked > 60))) % 10).unsqueeze(1), 2.0)


def test_a_walk_may_end_at_its_image():
    """Where draws that are wrong by chance lead it, there is nowhere left to go."""
    images, labels = torch.linspace(0.25, 0.75, 32).view(2, 1, 4, 4), torch.arange(2)
    view = Resigned(images, labels)
    found = Boundary(eps=9, steps=3000, start_directions=50, start_steps=50).run(view, images, labels, 0)
    assert view.asked > 3000
    assert torch.equal(found.images, images)


def test_a_point_outside_the_ball_is_projected(digits):
    images = 0.25 + digits[0] / 2

    class Away(MinimalL2):
        def find(self, view, images, labels):
            return images + 0.1  # 0.8 in l2

    found = Away(eps=0.2).run(nn.Flatten(), images, digits[1], seed=0)
    torch.testing.assert_close(found.images, images + 0.025, rtol=0, atol=1e-6)


# noise


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 0.4)])
def test_noise_is_as_large_as_allowed(digits, norm, eps):
    def view(images):
        raise AssertionError

    images = 0.25 + digits[0] / 2
    attack = RandomNoise(eps=eps, norm=norm)
    found = attack.run(view, images, digits[1], seed=1).images
    assert length(found, images, norm).tolist() == pytest.approx([eps] * len(images), rel=1e-5)
    if norm == "linf":
        torch.testing.assert_close((found - images).abs(), torch.full_like(images, eps))
    assert abs((found > images).float().mean() - 0.5) < 0.1  # either sign, over 512 pixels
    assert not torch.equal(found, attack.run(view, images, digits[1], seed=2).images)


# settings


@pytest.mark.parametrize(
    ("attack", "wrong", "reason"),
    [
        (MIFGSM, {**MI, "norm": "l2"}, r"attack\.norm is 'l2'; it must be one of linf"),
        (MIFGSM, {**MI, "steps": 0}, r"attack\.steps is 0; it must be an integer >= 1"),
        (MIFGSM, {**MI, "step_size": -1}, r"attack\.step_size is -1; it must be a number > 0 and <= 1"),
        (MIFGSM, {**MI, "decay": -1}, r"attack\.decay is -1; it must be a number >= 0 and <= 10"),
        (DeepFool, {**DEEP, "norm": "linf"}, r"attack\.norm is 'linf'; it must be one of l2"),
        (DeepFool, {**DEEP, "overshoot": -1}, r"attack\.overshoot is -1; it must be a number >= 0 and <= 10"),
        (DeepFool, {**DEEP, "eps": -1}, r"attack\.eps is -1; it must be a number >= 0"),
        (CarliniWagner, {**CW, "norm": "linf"}, r"attack\.norm is 'linf'; it must be one of l2"),
        (CarliniWagner, {**CW, "c": 0}, r"attack\.c is 0; it must be a number > 0"),
        (CarliniWagner, {**CW, "confidence": -1}, r"attack\.confidence is -1; it must be a number >= 0"),
        (CarliniWagner, {**CW, "lr": 0}, r"attack\.lr is 0; it must be a number > 0 and <= 10"),
        (Boundary, {**WALK, "norm": "linf"}, r"attack\.norm is 'linf'; it must be one of l2"),
        (Boundary, {**WALK, "steps": 0}, r"attack\.steps is 0; it must be an integer >= 1"),
        (Boundary, {**WALK, "start_steps": 0}, r"attack\.start_steps is 0; it must be an integer >= 1"),
        (RandomNoise, {"norm": "l7"}, r"attack\.norm is 'l7'; it must be one of linf, l2"),
    ],
)
def test_bad_settings_are_refused(attack, wrong, reason):
    with pytest.raises(ConfigError, match=f"^{reason}$"):
        attack(**{"eps": 0.1, **wrong})


NAMED = {"foolbox": ["attack.name=LinfPGD"], "torchattacks": ["attack.name=PGD"]}
DATASETS = ("digits", "mnist", "cifar10", "cifar100", "svhn", "imagenet")


@pytest.mark.parametrize(
    ("dataset", "attack"),
    [
        *((name, "cw") for name in DATASETS),
        *(("mnist", path.stem) for path in CONF.glob("attack/*.yaml") if path.stem != "own"),
    ],
)
def test_every_attack_has_settings(dataset, attack):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = [f"dataset={dataset}", f"attack={attack}", *NAMED.get(attack, [])]
        plain = resolved(compose("config", overrides=chosen))
    made = build("attack", plain["attack"])
    if made.perturbs:
        assert made.eps == plain["preset"]["eps_l2" if made.norm == "l2" else "eps"]


def test_a_run_of_the_command_line_notes_the_distance(vqexp, tmp_path):
    status, out, err = vqexp(
        "scale=smoke", "adversary=ste", "attack=deepfool", "training.epochs=1", "attack.steps=1"
    )
    assert status == 0, err
    assert "robust accuracy" in out
    files = list((tmp_path / "store" / "adversarial").rglob("*.safetensors"))
    assert [load_file(file)["distance"].shape for file in files] == [(8,)]
