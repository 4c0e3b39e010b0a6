"""What each adversary sees: equations 13 and 14 by hand, the draws it gets, and what makes no sense."""

import hashlib
import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from inner import InnerNoise
from torch import nn

from vqexp.adversaries import Oblivious, Query, Soft, StraightThrough, View, WhiteBox
from vqexp.adversaries.memory import kept_for_backward
from vqexp.adversaries.soft import SoftQuantizer
from vqexp.attacks.losses import ce
from vqexp.classifiers import save_checkpoint
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.draws import Draw
from vqexp.core.errors import SenselessError, WorkError
from vqexp.data import Digits
from vqexp.defenses import PRD, Defense, NoDefense, RandDisc, SwRD, defend
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.stages import Stages
from vqexp.reports.spec.compose import composed

ROOT = Path(__file__).parents[1]
NOISE = dict(sigma=0.05, tau=0.05)
QUANTIZERS = [PRD(s=2, k=5, **NOISE), RandDisc(k=5, **NOISE), SwRD(s=2, k=5, beta=5.0, **NOISE)]
every_quantizer = pytest.mark.parametrize("q", QUANTIZERS, ids=lambda q: type(q).__name__)


def random_images(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


IMAGES, LABELS = random_images(3, 1, 4, 4), torch.tensor([0, 2, 1])
WEIGHT = 4 * random_images(3, 16, seed=1) - 2


class Linear(nn.Module):
    """Logits W x."""

    def __init__(self, weight=WEIGHT):
        super().__init__()
        self.weight = weight

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


class Shifted(Defense):
    """x / 2 plus a shift of the draw's own: every draw is known, and so is the true gradient."""

    random = True

    def __init__(self):
        super().__init__()
        self.draws = []

    @staticmethod
    def shift(number, row):
        return torch.sin(torch.tensor(number % 1000 + 31.0 * row, dtype=torch.float64) + torch.arange(16.0))

    def forward(self, images, draw=None):
        keys = draw.keys()
        self.draws += [(draw.purpose, number, row) for row, number in keys]
        shifts = torch.stack([self.shift(number, row) for row, number in keys])
        return images / 2 + shifts.view_as(images).to(images.dtype)


def by_hand(seed, samples, average, slope):
    """Equation 13's gradient at each draw, averaged as in EOT, or equation 14's; and the loss."""
    gradients, losses = torch.empty(3, 16, dtype=torch.float64), torch.empty(3, dtype=torch.float64)
    for row in range(3):
        y, p = LABELS[row], []
        for r in range(samples):
            at = IMAGES[row].flatten() / 2 + Shifted.shift(seed * 2**24 + r, row)
            p.append(torch.softmax(WEIGHT @ at, 0))
        p = torch.stack(p)  # (draws, classes)
        inner = WEIGHT[y] - p @ WEIGHT  # of log p_y, each draw's
        if average == "loss":
            gradients[row], losses[row] = -inner.mean(0), -p[:, y].log().mean()
        elif average == "worst":
            kept = p[:, y].argsort(descending=True)[: math.ceil(samples / 4)]
            gradients[row], losses[row] = -inner[kept].mean(0), -p[kept, y].log().mean()
        else:
            gradients[row] = -(p[:, y, None] * inner).mean(0) / p[:, y].mean()
            losses[row] = -p[:, y].mean().log()
    return slope * gradients.view_as(IMAGES), losses


# Gradients by hand


@pytest.mark.parametrize(("gradient", "slope"), [("ste", 1.0), ("exact", 0.5)])
@pytest.mark.parametrize("average", ["loss", "output", "worst"])
@pytest.mark.parametrize("samples", [1, 4, 6])
def test_gradients_are_those_of_equations_13_and_14(gradient, slope, average, samples):
    view = WhiteBox(gradient=gradient, samples=samples, average=average).view(Linear(), Shifted())
    view.start(7)
    found, loss = view.gradient(IMAGES, LABELS, ce)
    expected, expected_loss = by_hand(7, samples, average, slope)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(loss, expected_loss)


@pytest.mark.parametrize("adversary", [WhiteBox(gradient="ste", samples=3), Query(samples=3)])
def test_forward_is_the_log_of_the_mean_softmax(adversary):
    view = adversary.view(Linear(), Shifted())
    view.start(2)
    found = view(IMAGES)
    for row in range(3):
        numbers = range(2 * 2**24, 2 * 2**24 + 3)
        inputs = [IMAGES[row].flatten() / 2 + Shifted.shift(number, row) for number in numbers]
        mean = torch.stack([torch.softmax(WEIGHT @ at, 0) for at in inputs]).mean(0)
        torch.testing.assert_close(found[row], mean.log())


def test_draws_are_never_averaged_twice():
    """`one_draw` is for attacks that average by themselves: a single draw's logits a call."""
    for adversary in (WhiteBox(gradient="ste", samples=5, average="output"), Query(samples=5)):
        defense = Shifted()
        view = adversary.view(Linear(), defense)
        view.start(3)
        one = view.one_draw()
        found = one(IMAGES)
        assert one.samples == 1
        assert one.random
        assert one.differentiable is view.differentiable
        assert len([draw for draw in defense.draws if draw[1] != 0]) == 3  # 0: the memory estimate's
        shifts = torch.stack([Shifted.shift(3 * 2**24, row) for row in range(3)]).view_as(IMAGES)
        torch.testing.assert_close(found, Linear()(IMAGES / 2 + shifts))


def test_straight_through_is_the_defense_forward_and_the_identity_backward(digit_images):
    """On a module that is none of ours, too, and exact to the bit."""
    images = digit_images.pixels(slice(4)).requires_grad_()
    rounded = StraightThrough(nn.Hardshrink(0.5))(images)
    assert torch.equal(rounded, nn.Hardshrink(0.5)(images))
    weights = random_images(*images.shape, dtype=torch.float32)
    (gradient,) = torch.autograd.grad((weights * rounded).sum(), images)
    assert torch.equal(gradient, weights)


# The true gradient of the quantizers


@every_quantizer
def test_the_exact_gradient_is_that_of_finite_differences(q):
    """Of the loss on a fixed draw, in float64, along a direction that changes no assignment."""
    images, direction = random_images(3, 3, 8, 8, seed=5), random_images(3, 3, 8, 8, seed=8) - 0.5
    view = WhiteBox(gradient="exact").view(Linear(random_images(3, 192, seed=7)), q)

    def loss_at(images):
        view.start(1)
        return view.gradient(images, LABELS, ce)

    gradient, _ = loss_at(images)
    above, below = (loss_at(images + sign * 1e-6 * direction)[1] for sign in (1, -1))
    slope = (above - below) / 2e-6
    torch.testing.assert_close((gradient * direction).sum((1, 2, 3)), slope, rtol=1e-5, atol=1e-7)
    assert (slope.abs() > 1e-3).all()


def test_a_patch_receives_its_centers_gradient_divided_by_the_clusters_size():
    images = random_images(1, 1, 8, 8).requires_grad_()
    q = PRD(s=2, k=4, sigma=0, tau=0)
    result, upstream = q(images, Draw()), random_images(1, 1, 8, 8, seed=1)
    (gradient,) = torch.autograd.grad((upstream * result).sum(), images)
    values, above, found = (q.patches(part.detach())[0] for part in (result, upstream, gradient))
    sizes = []
    for patch in range(16):
        cluster = (values == values[patch]).all(1)
        sizes.append(int(cluster.sum()))
        torch.testing.assert_close(found[patch], above[cluster].sum(0) / cluster.sum())
    assert len(set(sizes)) > 1


# The soft quantizer


@every_quantizer
def test_the_soft_quantizer_tends_to_the_hard_one(q):
    images, draw = random_images(20, 3, 8, 8), Draw("attack", 3)
    hard = q(images, draw)
    gaps = [
        (SoftQuantizer(q, temperature, False)(images, draw) - hard).abs().mean().item()
        for temperature in (1, 1e-1, 1e-2, 1e-3, 1e-9)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.01
    assert gaps[-1] < 1e-9
    assert torch.equal(q(images, draw), hard)  # the quantizer itself stays hard


@every_quantizer
def test_the_soft_gradient_is_that_of_finite_differences(q):
    """Of a random linear functional, in float64; the hard k-means inside must not change."""
    soft = SoftQuantizer(q, 0.05, False)
    images, functional, direction = (random_images(4, 3, 8, 8, seed=seed) for seed in range(3))
    direction -= 0.5

    def value(images):
        return (functional * soft(images, Draw("attack"))).sum()

    images.requires_grad_()
    (gradient,) = torch.autograd.grad(value(images), images)
    with torch.no_grad():
        slope = (value(images + 1e-6 * direction) - value(images - 1e-6 * direction)) / 2e-6
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-5)
    assert abs(slope) > 0.1


@every_quantizer
def test_hard_forward_is_the_quantizer_with_the_soft_gradient(q):
    images, weights = random_images(4, 3, 8, 8).requires_grad_(), random_images(4, 3, 8, 8, seed=1)
    draw = Draw("attack", 3)
    hard, soft = (SoftQuantizer(q, 0.1, forward)(images, draw) for forward in (True, False))
    assert torch.equal(hard, q(images, draw))
    assert (hard - soft).abs().mean() > 1e-3
    gradients = [torch.autograd.grad((weights * result).sum(), images)[0] for result in (hard, soft)]
    assert torch.equal(*gradients)


def test_soft_assignments_have_gradients_where_hard_ones_have_none():
    """With single pixels as centers, all other pixels have a say through their assignment alone."""
    q = PRD(s=1, k=4, sigma=0, tau=0, max_steps=0)
    images = random_images(1, 1, 8, 8).requires_grad_()
    weights = random_images(1, 1, 8, 8, seed=1)
    exact, soft = (
        torch.autograd.grad((weights * model(images, Draw())).sum(), images)[0]
        for model in (q, SoftQuantizer(q, 0.05, True))
    )
    assert (exact != 0).sum() == 4
    assert (soft.abs() > 1e-6).sum() > 50


# Draws


def test_draws_are_fresh_at_every_call_and_follow_from_the_chunks_seed():
    def draws(seed, calls=3):
        defense = Shifted()
        view = WhiteBox(gradient="ste", samples=2).view(Linear(), defense)
        view.start(seed)
        for _ in range(calls):
            view.gradient(IMAGES, LABELS, ce)
        view(IMAGES)
        return [draw for draw in defense.draws if draw[1] != 0]  # 0: the memory estimate's

    found = draws(4)
    assert {purpose for purpose, _, _ in found} == {"attack"}
    assert len(found) == len(set(found)) == 4 * 2 * 3
    assert draws(4) == found
    assert not set(draws(5, calls=50)) & set(found)


def batches_of(view):
    """The batch sizes that the view's model gets."""
    sizes = []
    view.model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    return sizes


@pytest.fixture
def smooth_classifier(digit_classifier):
    """Without kinks, where the rounding of another batch size would show in the gradient."""
    smooth = {nn.ReLU: nn.GELU(), nn.MaxPool2d: nn.AvgPool2d(2)}

    def smoothed(layer):
        layers = layer.children() if isinstance(layer, nn.Sequential) else []
        return nn.Sequential(*map(smoothed, layers)) if layers else smooth.get(type(layer), layer)

    return smoothed(digit_classifier).eval()


@pytest.mark.parametrize("average", ["loss", "output", "worst"])
@pytest.mark.parametrize("gradient", ["ste", "exact"])
def test_a_memory_limit_changes_nothing(digit_images, smooth_classifier, average, gradient):
    """Neither where the batch is split nor where draws are computed again on the way back.

    That they are only for the mean output: each draw's own loss needs no other draw.
    """
    images, labels = digit_images.pixels(slice(6)), digit_images.labels[:6]
    q = SwRD(s=2, k=4, beta=5, sigma=4 / 255, tau=4 / 255)
    results, largest = [], []
    for limit in (None, 1.2, 0.3, 0.001):  # 6 images of 5 draws keep some 4 MiB
        adversary = WhiteBox(gradient=gradient, samples=5, average=average, memory_limit=limit)
        view = adversary.view(smooth_classifier, q)
        sizes = batches_of(view)
        view.start(0)
        results.append((*view.gradient(images, labels, ce), view(images)))
        largest.append(max(sizes[2:]))  # after the memory estimate
        again = 30 if average != "loss" and limit == 0.001 else 0
        assert sizes[:2] == [2, 1]
        assert sum(sizes[2:]) == 30 + again + 30  # the gradient, the forward pass
    assert largest[0] == 30
    assert largest == sorted(largest, reverse=True)
    assert largest[-1] == 1
    assert len(set(largest)) >= 3
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_known_randomness_is_the_evaluations(digit_images, digit_classifier):
    images = digit_images.pixels(slice(6))
    q = SwRD(s=2, k=4, beta=5, sigma=4 / 255, tau=4 / 255)
    view = WhiteBox(draws="evaluation", gradient="exact", samples=3, average="output").view(
        digit_classifier, q
    )
    view.start(9)
    ids = torch.zeros(6, dtype=torch.int64)
    draws = [defend(digit_classifier, q)(images, Draw("report", number, ids)) for number in range(3)]
    mean = torch.stack(draws).softmax(-1).mean(0)
    torch.testing.assert_close(view(images), mean.log())
    assert torch.equal(view(images), view(images))
    assert not view.random


# In the pipeline


class Recorded(Shifted):
    """`Shifted` by nothing: it only keeps what draws it is asked for."""

    kept: list = []  # noqa: RUF012

    def forward(self, images, draw=None):
        self.kept.extend((draw.purpose, number, row) for row, number in [*draw.keys()])
        return images


def test_attack_ranking_and_evaluation_have_draws_of_their_own(config, monkeypatch):
    monkeypatch.setattr(Recorded, "kept", [])
    settings = ["adversary=eot", "attack.restarts=2", "metric.runs=2", "metric.select_runs=2"]
    stages = Stages(prepare(config(f"defense._target_={__name__}.Recorded", *settings)))
    Recorded.kept.clear()  # what preparation tried
    assert len(stages.adversarial) == 2
    used, again = set(Recorded.kept), len(Recorded.kept)
    attack = {(number, row) for purpose, number, row in used if purpose == "attack"}
    ranking = {number for purpose, number, _ in used if purpose == "rank"}
    assert {purpose for purpose, _, _ in used} == {"attack", "rank"}
    assert ranking == set(range(10))
    # 2 restarts of 3 steps with 2 draws, and one forward pass; both chunks have these, for their own images
    assert len({number for number, _ in attack if number >= 2**24}) == 2 * 3 * 2 + 2
    stages.experiment.metric.measure(stages)
    judged = set(Recorded.kept[again:])
    assert {(purpose, number) for purpose, number, _ in judged} == {
        (purpose, number) for purpose in ("select", "report") for number in (0, 1)
    }
    assert not judged & used


class Coin(Defense):
    """Right with probability 0.6, whatever the image: what a pixel changes is luck."""

    random = True
    labels = Digits(name="digits", shape=(1, 8, 8), num_classes=10).test()

    def wrap(self, classifier):
        return self

    def forward(self, images, draw=None):
        by_row = dict(zip(self.labels.ids.tolist(), self.labels.labels.tolist(), strict=True))
        logits = torch.zeros(len(images), 10)
        for logit, image, (row, number) in zip(logits, images.detach(), draw.keys(), strict=True):
            text = repr((draw.purpose, number, row)).encode() + image.numpy().tobytes()
            chance = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") / 2**64
            logit[by_row[row]] = 0.6 - chance
        return logits + 0 * images.sum((1, 2, 3)).unsqueeze(1)


@pytest.mark.parametrize("candidates", [1, 30])
def test_a_coin_flip_is_reported_as_what_it_is(config, candidates):
    """However many points an attack tries: luck in their ranking does not reach the report."""
    settings = [f"attack.restarts={candidates}", "adversary.gradient=exact", "adversary.samples=1"]
    sizes = ["dataset.n=100", "attack.batch_size=100", "metric.runs=10", "attack.steps=1", "attack.keep=1"]
    stages = Stages(prepare(config("adversary=eot", f"defense._target_={__name__}.Coin", *settings, *sizes)))
    found = stages.experiment.metric.measure(stages).estimates
    for name in ("natural_accuracy", "robust_accuracy"):
        low, high = found[name].ci95
        assert low <= 0.6 <= high
        assert found[name].mean == pytest.approx(0.6, abs=0.05)  # 1000 flips, 3 standard deviations
    images, labels = stages.adversarial_images(0), stages.images.labels
    ranked = [
        stages.defense(images, Draw("rank", number, stages.images.ids)).argmax(1) == labels
        for number in range(10)
    ]
    luck = torch.stack(ranked).float().mean().item()
    assert luck == pytest.approx(0.6, abs=0.05) if candidates == 1 else luck < 0.45


@pytest.mark.parametrize("defense", ["swrd", "prd", "randdisc"])
def test_success_on_known_draws_is_success_in_the_evaluation(config, defense):
    stages = Stages(prepare(config("adversary=known_randomness", f"defense={defense}", "attack.eps=0.15")))
    judged = stages.evaluate(adversarial=True, defended=True, purpose="report", runs=7)
    assert torch.equal(stages.known("fooled"), ~judged.correct[0])
    assert len(judged.correct) == 1
    assert judged.correct.any()
    assert not judged.correct.all()


def test_each_adversary_runs(config):
    for overrides in (
        ["adversary=soft", "adversary.samples=2", "defense=prd"],
        ["adversary=query", "attack=square"],
        ["adversary=ste", "attack=square"],
        ["adversary=query", "attack=square", "defense=none", "adversary.samples=1"],
    ):
        record = read(run(config(*overrides)))
        assert record.metrics["robust_accuracy"].mean < 1
        assert record.facts["adversary"].startswith("this attacker")


# Transfer


def test_the_surrogate_is_by_default_f_trained_with_another_seed(config):
    stages, other = Stages(prepare(config("adversary=transfer"))), Stages(prepare(config("seed=1")))
    images = stages.images.pixels(slice(8))
    surrogate = stages.view(images)
    torch.testing.assert_close(surrogate, other.classifier(images))
    assert not torch.allclose(surrogate, stages.classifier(images), atol=0.1)
    assert stages.seen.classifier_key == other.classifier_key
    stages.evaluate(adversarial=True, defended=True, purpose="report", runs=1)
    assert set(stages.ledger.used["classifier"]) == {stages.classifier_key, other.classifier_key}


def test_a_surrogate_that_has_not_learned_is_no_attacker(config):
    stages = Stages(prepare(config("adversary=transfer", "attack.eps=0.123")))  # not in the store yet
    for weights in stages.seen.classifier.parameters():
        weights.data.zero_()  # as a training that collapsed leaves it: no gradient anywhere
    with pytest.raises(WorkError, match=r"surrogate's gradient is zero on every image"):
        stages.evaluate(adversarial=True, defended=True, purpose="report", runs=1)


def test_what_determines_transferred_images_is_in_their_key(config, digit_classifier, tmp_path):
    def key(*overrides):
        settings = ("adversary=transfer", "classifier=small_cnn", *overrides)
        return Stages(prepare(config(*settings))).adversarial_keys[0]

    base = key()
    assert key("defense=prd") == base  # neither the defense nor f itself
    whole = ["classifier@adversary.classifier=small_cnn"]
    assert key(*whole, "classifier.width=16") == key(*whole) == base
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_checkpoint(digit_classifier, first)
    second.write_bytes(first.read_bytes())
    loaded = ["+adversary.classifier.width=16", "adversary.classifier.checkpoint="]
    assert key(loaded[0], loaded[1] + str(first)) == key(loaded[0], loaded[1] + str(second))
    others = [
        key("adversary.seed=5"),
        key("+adversary.training.epochs=1"),
        key("training@adversary.training=one_cycle"),
        key("+adversary.classifier.width=8"),
        key(loaded[0], loaded[1] + str(first)),
        key("adversary.defended=true"),
        key("adversary.defended=true", "defense=prd"),
        Stages(prepare(config("adversary=oblivious"))).adversarial_keys[0],
    ]
    assert len({base, *others}) == 1 + len(others)


def test_a_surrogate_behind_the_defense_is_the_white_box_of_itself(config):
    """Straight-through on the surrogate, on draws of the attack's own."""
    stages = Stages(prepare(config("adversary=transfer", "adversary.defended=true")))
    view = WhiteBox(gradient="ste").view(stages.seen.classifier, stages.defense)
    images, labels = stages.images.pixels(slice(8)), stages.images.labels[:8]
    for each in (view, stages.view):
        each.start(3)
    for found, expected in zip(
        stages.view.gradient(images, labels, ce), view.gradient(images, labels, ce), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("overrides", "gradient", "samples"),
    [
        (["defense=swrd"], "ste", 20),
        (["dataset=cifar10", "defense=randdisc"], "ste", 20),
        (["defense=additive_noise"], "exact", 20),
        (["dataset=mnist", "preset=stn/mnist", "defense=additive_noise"], "exact", 10),
        (["defense=resize_pad"], "exact", 20),
        (["defense=swrd", "scale=smoke"], "ste", 2),
    ],
)
def test_eot_follows_the_gradient_that_suits_the_defense(overrides, gradient, samples):
    """Of a run and of a cell, which is composed in another way."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        run = resolved(compose("config", overrides=["scale=cpu", *overrides, "adversary=eot"]))["adversary"]
    scale = "smoke" if "scale=smoke" in overrides else "cpu"
    cell = composed((*overrides, "adversary=eot"), "adversary", scale, lambda group, name: True)
    assert (run["gradient"], run["samples"]) == (gradient, samples)
    assert (cell["gradient"], cell["samples"]) == (gradient, samples)


# What makes no sense

SENSELESS = {
    "adversary=query": "attack=pgd follows a gradient, and adversary=query has none; choose attack=square",
    "adversary=query attack=fgsm": "attack=fgsm follows a gradient",
    "adversary=query attack=autoattack": "attack=autoattack follows a gradient",
    "adversary=query attack=square defense=none": "set adversary.samples=1",
    "adversary=soft defense=contrast": "softens a quantizer's assignments, and Contrast has none",
    "adversary=soft defense=none": "there is no defense to know",
    "adversary=ste defense=none": "there is no defense to know",
    "adversary=eot defense=contrast": "all draws of this defense are the same",
    "adversary=known_randomness defense=contrast": "but this defense has no draws",
    "adversary=held defense=contrast": "adversary.draws=held, but this defense has no draws",
    "adversary=mean": "needs the mean of what is random, and SwRD has none",
    "adversary=transfer adversary.seed=0": "the surrogate is f itself",
    "adversary=transfer adversary.samples=2": "adversary.defended=false",
    "adversary=transfer adversary.defended=true defense=none": "adversary.defended=false",
    # and what is wrong by itself
    "adversary=soft adversary.temperature=0": "adversary.temperature is 0; it must be a number > 0",
    "adversary=soft adversary.hard_forward=2": "adversary.hard_forward is 2; it must be true or false",
    "adversary=query adversary.samples=0": "adversary.samples is 0; it must be an integer >= 1",
    "adversary=transfer adversary.seed=-1": "adversary.seed is -1; it must be an integer >= 0",
    "adversary=transfer +adversary.classifier.foo=1": "the adversary's surrogate: classifier has no foo",
    "attack=square attack.norm=l2": "attack.norm is 'l2'; it must be linf",
}


@pytest.mark.parametrize("arguments", SENSELESS)
def test_senseless_combinations_are_refused_in_one_line(vqexp, arguments, tmp_path):
    status, out, err = vqexp(*arguments.split())
    assert (status, out) == (2, "")
    assert SENSELESS[arguments] in err
    assert err.startswith("vqexp: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_query_view_has_no_gradient(digit_images, digit_classifier):
    images, labels = digit_images.pixels(slice(2)), digit_images.labels[:2]
    view = Query(samples=2).view(digit_classifier, QUANTIZERS[0])
    assert not view(images.requires_grad_()).requires_grad
    with pytest.raises(SenselessError, match="needs their gradient"):
        view.gradient(images, labels, ce)


def test_an_estimator_has_no_place_inside_f():
    inside = InnerNoise()
    for adversary in (WhiteBox(gradient="ste"), Soft(temperature=0.1, hard_forward=True)):
        with pytest.raises(SenselessError, match="choose exact"):
            adversary.check(inside)
    WhiteBox(gradient="exact").check(inside)


def test_an_attacker_of_no_defense_is_not_said_to_ignore_it():
    oblivious = Oblivious(cost="free")
    assert oblivious.knows(PRD(s=2, k=4, sigma=0, tau=0)) == "this attacker does not know the defense"
    assert oblivious.knows(NoDefense()) == "there is no defense to know"


@pytest.mark.parametrize("library", [False, True])
def test_a_fixed_view_keeps_within_a_limit(monkeypatch, library):
    """Batch by batch, or computed again for a library that differentiates by itself: the same gradients."""
    torch.manual_seed(0)
    sizes = []

    class Noted(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 5))

        def forward(self, images):
            sizes.append(len(images))
            return self.f(images)

    def gradient(view):
        sizes.clear()
        if not library:
            return view.gradient(images, labels, ce)[0]
        points = images.clone().requires_grad_(True)
        return torch.autograd.grad(ce(view(points), labels).sum(), points)[0]

    f, images, labels = Noted(), torch.rand(30, 3, 32, 32), torch.arange(30) % 5
    whole = gradient(View(f))
    assert max(sizes) == 30
    monkeypatch.setattr("vqexp.adversaries.view.MOST", 10.5 * kept_for_backward(f, images[:1]) / 2**20)
    torch.testing.assert_close(gradient(View(f)), whole)
    assert max(sizes) == 10
    f.by_batch = True
    gradient(View(f))
    assert sizes == [30]
