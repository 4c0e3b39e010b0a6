"""Defenses inside f, and which draws an attack sees of them."""

import pytest
import torch
from inner import InnerNoise, NoiseLayer
from torch import nn
from torch.nn.functional import cross_entropy

from vqexp.adversaries import WhiteBox
from vqexp.attacks import PGD
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.core.reductions import mean, outcomes, votes
from vqexp.core.sampling import AT_ONCE, Sampler
from vqexp.defenses import defend
from vqexp.pipeline import read, run
from vqexp.pipeline.build import prepare
from vqexp.pipeline.stages import Stages

INNER = ("defense._target_=inner.InnerNoise", "adversary=exact")
IDS = torch.arange(8)


@pytest.fixture
def images(digit_images):
    return digit_images.pixels(slice(8))


def ce(logits, labels):
    return cross_entropy(logits, labels, reduction="none")


# install and wrap


def test_f_is_trained_loaded_and_keyed_with_its_layers(config):
    stages = Stages(prepare(config(*INNER)))
    assert [type(module) for module in stages.classifier.modules()].count(NoiseLayer) == 1
    assert stages.model is stages.classifier  # nothing stands before f
    assert "0.sigma" in stages.classifier.state_dict()
    assert stages.classifier.state_dict()["0.sigma"] != 0.1  # trained
    keys = {Stages(prepare(config(*INNER, *more))).classifier_key for more in ((), ("defense.sigma=0.2",))}
    assert stages.classifier_key in keys
    assert len(keys) == 2
    plain = [Stages(prepare(config(f"defense={name}"))).classifier_key for name in ("prd", "swrd", "none")]
    assert len({*plain}) == 1
    assert plain[0] not in keys


def test_a_run_has_no_f_without_the_defense(config):
    record = read(run(config(*INNER, "metric.runs=3")))
    assert record.metrics["robust_accuracy"].runs == 3
    assert not [name for name in record.metrics if "undefended" in name or "on_correct" in name]
    assert "undefended_accuracy" in read(run(config())).metrics


def test_an_attacker_who_ignores_it_is_refused(config):
    with pytest.raises(ConfigError, match="this defense is inside f"):
        prepare(config(INNER[0], "adversary=oblivious"))


def test_a_surrogate_has_the_layers_where_its_attacker_knows_of_them(config):
    stages = Stages(prepare(config(INNER[0], "adversary=transfer")))
    assert not [module for module in stages.seen.classifier.modules() if isinstance(module, NoiseLayer)]
    assert [module for module in stages.classifier.modules() if isinstance(module, NoiseLayer)]


def test_defend_installs(digit_classifier, images):
    model = defend(digit_classifier, InnerNoise(0.3))
    assert not torch.equal(model(images), model(images))


# one draw an image, or one a number


def test_one_draw_a_number(images):
    """Images that share a number share the draw, whatever their ids; others do not."""
    layer = NoiseLayer(0.1, per_image=False)
    numbers = torch.tensor([0, 0, 1, 1, 0, 1, 2, 2])
    noise = call(layer, images, Draw("report", numbers, IDS)) - images
    for i in range(8):
        for j in range(8):
            same = torch.allclose(noise[i], noise[j], atol=1e-6)
            assert same == (numbers[i] == numbers[j])


# which draws an attack sees


def view(draws, digit_classifier, **settings):
    model = InnerNoise(0.3).install(digit_classifier)
    found = WhiteBox(gradient="exact", draws=draws, **settings).view(model, InnerNoise(0.3))
    found.start(5, IDS)
    return found


def test_held_draws_stay_until_a_restart(digit_classifier, images):
    held = view("held", digit_classifier)
    assert not held.random
    first = held(images)
    assert torch.equal(first, held(images))
    assert torch.allclose(first[3:5], held(images[3:5]), atol=1e-5)  # a library calls on some of them
    held.restart()
    assert not torch.allclose(first, held(images))
    fresh = view("fresh", digit_classifier)
    assert not torch.equal(fresh(images), fresh(images))


def test_the_mean_is_f_without_noise(digit_classifier, images):
    seen = view("mean", digit_classifier)
    torch.testing.assert_close(seen(images), digit_classifier(images))
    assert seen.decides
    gradient, _ = seen.gradient(images, IDS, ce)
    plain = images.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(ce(digit_classifier(plain), IDS).sum(), plain)
    torch.testing.assert_close(gradient, expected)


def test_the_evaluations_draws(digit_classifier, images):
    seen = view("evaluation", digit_classifier, samples=2, average="output")
    blocks = Sampler(0, known=2).draws(seen.model, images, IDS, "select", 9)
    expected = torch.cat(list(blocks)).softmax(2).mean(0).log()
    torch.testing.assert_close(seen(images), expected)


def test_restarts_on_held_draws_are_judged_by_others(digit_classifier, images, digit_images):
    attack = PGD(eps=0.1, steps=2, step_size=0.05, restarts=3)
    found = attack.run(view("held", digit_classifier), images, digit_images.labels[:8], seed=0)
    assert len(found.candidates) == 3
    found = attack.run(view("mean", digit_classifier), images, digit_images.labels[:8], seed=0)
    assert found.candidates is None


@pytest.mark.parametrize("adversary", ["held", "mean"])
def test_runs_of_them(config, adversary):
    record = read(
        run(
            config(
                INNER[0], f"adversary={adversary}", "attack=autoattack", "attack.steps=2", "attack.queries=2"
            )
        )
    )
    assert "autoattack_flags" in record.metrics


# one loop over draws


class Coin(NoiseLayer):
    """Two logits; the second is the larger with the probability that a standard normal exceeds 0.5."""

    biggest = 0

    def forward(self, images, draw=None):
        draw = self.draw_for(len(images), draw)
        Coin.biggest = max(Coin.biggest, images.numel())
        noise = super().forward(torch.zeros(len(images), 1), draw)
        return torch.cat([torch.full_like(noise, 0.5), noise], 1)


def test_a_hundred_thousand_draws_of_one_image():
    """In blocks of bounded size; their shares are those of the normal distribution."""
    image, n = torch.zeros(1, 1, 28, 28), 100_000
    counts = votes(Sampler(0).draws(Coin(1.0), image, torch.tensor([7]), "certify", n))
    assert counts.sum() == n
    expected = 1 - torch.distributions.Normal(0, 1).cdf(torch.tensor(0.5)).item()
    assert counts[0, 1] / n == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)
    assert Coin.biggest <= AT_ONCE


def test_reductions_agree(digit_classifier, images, digit_images):
    model, labels = InnerNoise(0.3).install(digit_classifier), digit_images.labels[:8]

    def blocks():
        return Sampler(0).draws(model, images, IDS, "report", 6)

    logits = torch.cat(list(blocks()))
    found = outcomes((block[:1] for block in logits.unsqueeze(1)), labels)
    assert torch.equal(found["predicted"].long(), logits.argmax(2))
    assert torch.equal(found["correct"], logits.argmax(2) == labels)
    own = nn.functional.one_hot(labels, 10).bool()
    margin = logits[:, own] - logits.masked_fill(own, -torch.inf).amax(2)
    torch.testing.assert_close(found["margin"], margin)
    assert torch.equal(votes(blocks()), nn.functional.one_hot(logits.argmax(2), 10).sum(0))
    torch.testing.assert_close(mean(blocks()), logits.double().mean(0))


def test_votes_of_a_run_are_counted_chunk_by_chunk(config):
    stages = Stages(prepare(config(*INNER, "attack=none")))
    counted = stages.votes(adversarial=False, purpose="certify", draws=20)
    judged = stages.evaluate(adversarial=False, defended=True, purpose="certify", runs=20)
    assert torch.equal(counted, nn.functional.one_hot(judged.predicted.long(), 10).sum(0))
