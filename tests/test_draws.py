"""The draw of a call reaches every random module, whatever wraps it; results do not depend on the batch."""

import pytest
import torch
from torch import nn

import vqexp
from vqexp.attacks import PGD, Square, TargetedPGD
from vqexp.attacks.noise import RandomNoise
from vqexp.classifiers import Normalized
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, WorkError
from vqexp.core.random_module import call, is_random
from vqexp.core.sampling import Sampler
from vqexp.defenses import JPEG, AdditiveNoise, Defense, SwRD, adapted, defend
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.stages import Stages

NOISE = {"sigma": 0.05, "tau": 0.05}


def quantizer(seed=0):
    return SwRD(s=2, k=4, beta=5.0, seed=seed, **NOISE)


class Two(nn.Module):
    """A user's module around a defense of the library, with a forward of its own."""

    def __init__(self):
        super().__init__()
        self.q = quantizer()

    def forward(self, images):
        return self.q(images)


class Noise(nn.Module):
    """A user's module that draws from torch's own generator."""

    def forward(self, images):
        return (images + 0.1 * torch.randn_like(images)).clamp(0, 1)


class Inside(nn.Module):
    """A network with a random module of the library between its layers."""

    def __init__(self, q):
        super().__init__()
        torch.manual_seed(0)
        self.q, self.head = q, nn.Linear(64, 10)

    def forward(self, images):
        return self.head(self.q(images).flatten(1))


WRAPPED = {
    "own module": Two,
    "sequence": lambda: nn.Sequential(JPEG(quality=90), quantizer()),
    "nested": lambda: nn.Sequential(nn.Identity(), nn.Sequential(Two())),
    "noise": Noise,
}


def by_draw(model, images, ids, number, size):
    """What `model` makes of the images in batches of `size`."""
    parts = [
        call(model, images[i : i + size], Draw("report", number, ids[i : i + size]))
        for i in range(0, len(images), size)
    ]
    return torch.cat(parts)


@pytest.fixture(scope="module")
def digits(digit_images):
    return digit_images.pixels(slice(20)), digit_images.labels[:20], digit_images.ids[:20]


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_result_follows_the_draw_alone(kind, digits):
    """Not the batch, nor what ran before; other draws give other results."""
    images, _, ids = digits
    defense = adapted(WRAPPED[kind]())
    assert is_random(defense)
    first = by_draw(defense, images, ids, 3, 20)
    defense(images)  # a call without a draw, as a library makes it
    torch.rand(5)
    torch.testing.assert_close(by_draw(defense, images, ids, 3, 7), first)
    assert not torch.equal(by_draw(defense, images, ids, 4, 20), first)


def test_an_own_module_gives_what_the_defense_in_it_gives(digits):
    images, _, ids = digits
    expected = quantizer()(images, Draw("report", 2, ids))
    for kind in ("own module", "nested"):
        torch.testing.assert_close(by_draw(adapted(WRAPPED[kind]()), images, ids, 2, 20), expected)


@pytest.mark.parametrize("wrapper", ["plain", "normalized", "compiled", "before another"])
def test_a_random_module_inside_the_network(wrapper, digits):
    images, _, ids = digits
    # to trace k-means takes torch.compile long
    plain = Inside(AdditiveNoise(sigma=0.1) if wrapper == "compiled" else quantizer()).eval()
    model = {
        "plain": lambda f: f,
        "normalized": lambda f: Normalized(f, 0.0, 1.0),
        "compiled": lambda f: torch.compile(f, backend="eager"),
        "before another": lambda f: defend(f, adapted(nn.Identity())),
    }[wrapper](plain)
    assert is_random(model)
    for number in (0, 1, 5):
        expected = plain.head(plain.q(images, Draw("report", number, ids)).flatten(1))
        torch.testing.assert_close(by_draw(model, images, ids, number, 7), expected)


def test_two_random_modules_never_share_their_numbers():
    images = torch.full((2, 1, 8, 8), 0.5)
    draw = Draw("report", 0)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Field(), Field()

        def forward(self, images):
            return torch.stack([self.first(images), self.second(images)])

    class Field(Defense):
        random = True

        def forward(self, images, draw=None):
            from vqexp.core.draws import Streams

            return Streams(0, self.draw_for(len(images), draw), images.device).normal((4,), torch.float32)

    first, second = call(Both(), images, draw)
    assert not torch.equal(first, second)
    assert torch.equal(first, Field()(images, draw))  # the first one has the numbers that it has alone


def test_a_module_that_changes_the_batch_is_told_so(digits):
    images, _, ids = digits
    model = nn.Sequential(Repeat(), quantizer())
    with pytest.raises(ConfigError, match="SwRD got 40 images under a draw for 20"):
        call(model, images, Draw("report", 0, ids))


class Repeat(nn.Module):
    def forward(self, images):
        return images.repeat(2, 1, 1, 1)


@pytest.mark.parametrize("defense", ["Two", "Noise"])
def test_runs_do_not_depend_on_the_chunks_nor_on_being_resumed(config, defense, tmp_path):
    own = f"defense._target_={__name__}.{defense}"
    means = []
    for size in (7, 24):
        record = read(run(config(own, "attack=none", "metric.runs=3", f"attack.batch_size={size}")))
        means.append(record.metrics["natural_accuracy"])
    assert means[0] == means[1]


def test_the_attack_never_sees_a_draw_of_the_evaluation(config, monkeypatch):
    seen = []

    class Spy(Sampler):
        def draws(self, model, images, ids, purpose, *which):
            seen.append(purpose)
            return super().draws(model, images, ids, purpose, *which)

    monkeypatch.setattr("vqexp.pipeline.adversarial.Sampler", Spy)
    settings = ["adversary=ste", "attack.restarts=2", "metric.runs=2"]
    Stages(prepare(config("metric=denoising", *settings))).experiment.metric.measure(
        Stages(prepare(config("metric=denoising", *settings)))
    )
    assert set(seen) == {"rank", "report"}


def test_denoising_judges_the_draws_that_the_attacker_knows(config, monkeypatch):
    """The one sampler knows what the adversary knows, whatever the metric."""
    used = []
    original = SwRD.forward

    def spy(self, images, draw=None):
        if draw is not None:
            used.append((draw.purpose, draw.keys()[0]))
        return original(self, images, draw)

    monkeypatch.setattr(SwRD, "forward", spy)
    stages = Stages(prepare(config("adversary=known_randomness", "metric=denoising", "metric.runs=4")))
    stages.experiment.metric.measure(stages)
    judged = {entry for entry in used if entry[0] != "attack"}
    assert judged == {("report", (0, 0))}  # of one known draw, the same for every image


# attacks


ATTACKS = {
    "pgd": lambda norm: PGD(eps=0.2, norm=norm, steps=4, step_size=0.1, restarts=2),
    "targeted": lambda norm: TargetedPGD(eps=0.2, norm=norm, steps=2, step_size=0.1, targets=2),
    "square": lambda norm: Square(eps=0.2, queries=40, p_init=0.8),
    "noise": lambda norm: RandomNoise(eps=0.2, norm=norm),
}


@pytest.mark.parametrize(
    ("attack", "norm"),
    [(attack, norm) for attack in ATTACKS for norm in ("linf", "l2") if (attack, norm) != ("square", "l2")],
)
def test_adversarial_images_are_bit_identical_for_any_batch_size(
    attack, norm, digit_classifier, digit_images
):
    images, labels, ids = (digit_images.pixels(slice(100)), digit_images.labels[:100], digit_images.ids[:100])
    found = []
    for size in (7, 20, 100):
        parts = [slice(i, i + size) for i in range(0, 100, size)]
        made = ATTACKS[attack](norm)
        found.append(
            torch.cat([made.run(digit_classifier, images[p], labels[p], 3, ids[p]).images for p in parts])
        )
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_a_random_start_is_the_images_own(digit_classifier, digits):
    """Two images of the same values start from different points, one image with two seeds as well."""
    images, labels, ids = digits
    same = images[:1].expand(4, -1, -1, -1)
    attack = PGD(eps=0.2, steps=1, step_size=1e-6)
    found = attack.run(digit_classifier, same, labels[:1].expand(4), 0, ids[:4]).images
    assert len({tuple(image.flatten().tolist()) for image in found}) == 4
    again = attack.run(digit_classifier, same, labels[:1].expand(4), 1, ids[:4]).images
    assert not torch.equal(found, again)


# what a module is given


@pytest.mark.parametrize("mode", [True, False])
def test_defend_keeps_the_classifiers_mode(mode):
    f = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train(mode)
    if mode:
        with pytest.warns(UserWarning, match="training mode"):
            defended = vqexp.defend(f, quantizer())
    else:
        defended = vqexp.defend(f, quantizer())
    assert defended.training is mode
    assert f.training is mode


def test_a_librarys_attack_moves_no_statistics(digits):
    """torchattacks puts a model back into the mode that it had."""
    import torchattacks

    f = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).eval()
    before = {name: value.clone() for name, value in f.state_dict().items()}
    model = vqexp.defend(f, quantizer())
    torchattacks.PGD(model, eps=0.1, alpha=0.05, steps=2)(*digits[:2])
    assert not f.training
    assert not f[1].training
    assert all(torch.equal(value, before[name]) for name, value in f.state_dict().items())


def test_an_attack_and_an_evaluation_leave_a_model_as_it_was(digits):
    images, labels, ids = digits
    f = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    before = {name: value.clone() for name, value in f.state_dict().items()}
    PGD(eps=0.1, steps=2, step_size=0.1).run(f, images, labels, 0)
    list(Sampler(0).draws(f, images, ids, "report", 2))
    assert f.training
    assert all(torch.equal(value, before[name]) for name, value in f.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in f.parameters())


IMAGES = torch.rand(3, 1, 8, 8)
BAD = {
    "are in [-1, 1]": 2 * torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8) - 1,
    "are in [0, 255]": 255 * torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8),
    "NaN or infinite pixels in 1 of 3": IMAGES.clone().index_fill_(0, torch.tensor([1]), torch.nan),
    "divide by 255": (255 * IMAGES).to(torch.uint8),
    "add the batch dimension": IMAGES[0],
    "are empty": IMAGES[:0],
    "are a list": [0.5],
}


@pytest.mark.parametrize("expected", BAD)
def test_bad_images_are_refused_in_one_line(expected, digit_classifier):
    attack = PGD(eps=0.1, steps=1, step_size=0.1)
    for take in (
        quantizer(),
        vqexp.defend(digit_classifier, quantizer()),
        lambda images: attack.run(digit_classifier, images, torch.zeros(2, dtype=torch.long), 0),
    ):
        with pytest.raises(ConfigError) as caught:
            take(BAD[expected])
        assert expected in str(caught.value)
        assert "they must be a float tensor (N, C, H, W)" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (torch.tensor([0, 1, 10]), "labels are in 0..10"),
        (torch.tensor([0, -1, 1]), "labels are in -1..1"),
        (torch.tensor([0.0, 1.0, 2.0]), "labels are float32"),
        (torch.tensor([[0], [1], [2]]), r"labels have shape \(3, 1\)"),
        (torch.tensor([0, 1]), r"labels have shape \(2,\)"),
    ],
)
def test_bad_labels_are_refused(labels, expected, digit_classifier):
    with pytest.raises(ConfigError, match=f"{expected}; they must be an int64 tensor"):
        PGD(eps=0.1, steps=1, step_size=0.1).run(digit_classifier, IMAGES, labels, 0)


def test_float64_images_get_the_noise_of_float32_ones(digits):
    images, _, ids = digits
    draw, q = Draw("report", 1, ids), quantizer()
    torch.testing.assert_close(q(images.double(), draw).float(), q(images, draw), atol=1e-4, rtol=0)


class Faulty(nn.Module):
    """Logits that are NaN on some images."""

    def __init__(self, value):
        super().__init__()
        self.value, self.net = value, nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        logits = self.net(images)
        logits[3::4, 2] = self.value
        return logits


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_no_numbers_end_the_run(value, digits):
    images, _, ids = digits
    with pytest.raises(WorkError) as caught:
        list(Sampler(0).draws(Faulty(value), images, ids, "report", 1))
    first = ", ".join(map(str, ids[3::4].tolist()))
    assert f"NaN or infinite on 25.0 % of 20 images, the first of them with ids {first}" in str(caught.value)


class Enlarge(nn.Module):
    def forward(self, images):
        return nn.functional.pad(images, [1] * 4)


class Shift(nn.Module):
    """Fixed, but makes NaN of a black pixel."""

    random = False

    def forward(self, images):
        return images / images * images


@pytest.mark.parametrize(
    ("defense", "expected"),
    [("Enlarge", "Enlarge turns images of shape"), ("Shift", "NaN or infinite on 100.0 % of 16 images")],
)
def test_a_defense_that_breaks_images_ends_the_run(config, defense, expected):
    """In preparation, where a gray image shows it."""
    error = ConfigError if defense == "Enlarge" else WorkError
    with pytest.raises(error, match=expected):
        run(config(f"defense._target_={__name__}.{defense}", "attack=none"))


class RandomNet(Inside):
    """An own classifier that is random by a module of the library within."""

    def __init__(self, num_classes):
        super().__init__(quantizer())


def test_a_random_classifier_is_attacked_and_judged_on_draws_of_its_own(config):
    """Not on those of its own calls, which the batch would decide."""
    means = []
    for size in (7, 24):
        own = [f"classifier._target_={__name__}.RandomNet", "defense=none", f"attack.batch_size={size}"]
        stages = Stages(prepare(config(*own, "metric.runs=3", "attack.steps=2")))
        assert stages.view.random
        found = stages.experiment.metric.measure(stages)
        means.append(found.estimates["robust_accuracy"])
        assert found.estimates["robust_accuracy"].runs == 3
    assert means[0] == means[1]
