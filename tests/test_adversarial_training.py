"""Adversarial training: what it attacks, what it gains, resuming, settings."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from networks import network
from torch import Tensor, nn

from vqexp.attacks import PGD
from vqexp.core.components import build
from vqexp.core.config import register_resolvers, resolved
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import RandomModule
from vqexp.training import PGDAT, CrossEntropy, Descent, InnerAttack
from vqexp.training.inner import kl
from vqexp.training.step import Batch, Step

CPU = torch.device("cpu")
EPS = 0.2
BUDGET = {"eps": EPS, "steps": 3, "step_size": EPS / 2}


def test_it_gains_robustness_over_standard_training(train, digit_images):
    images, labels = digit_images.pixels(slice(200)), digit_images.labels[:200]
    attack = PGD(eps=EPS, steps=20, step_size=EPS / 10)

    def accuracies(training: Descent) -> list[float]:
        """Natural and robust."""
        classifier = network(width=12, dropout=0.0)
        training.fit(classifier, train, seed=0, device=CPU)
        found = attack.run(classifier.requires_grad_(False), images, labels, 0).images
        with torch.no_grad():
            return [(classifier(x).argmax(1) == labels).float().mean().item() for x in (images, found)]

    recipe = {"epochs": 3, "lr": 0.02, "batch_size": 64, "optimizer": "adam", "schedule": "one_cycle"}
    _, undefended = accuracies(Descent(objective=CrossEntropy(), **recipe))
    natural, robust = accuracies(Descent(**recipe, objective=PGDAT(inner=InnerAttack(**BUDGET))))
    assert undefended < 0.1
    assert 0.25 < robust < natural
    assert natural > 0.8


@pytest.mark.parametrize("amp", [False, True])
def test_the_loss_is_of_adversarial_images_inside_the_ball(few, amp):
    @dataclass(kw_only=True)
    class Seen(InnerAttack):
        def perturb(self, model: nn.Module, batch: Batch, step: Step) -> Tensor:
            images, labels, _ = batch
            statistics = [buffer.clone() for buffer in model.buffers()]
            found = super().perturb(model, batch, step)
            assert model.training
            assert not found.requires_grad
            assert found.dtype == torch.float32
            assert (found - images).abs().max() <= EPS + 1e-6
            assert found.min() >= 0
            assert found.max() <= 1
            # the attack's own passes are not what batch normalization learns from
            assert all(map(torch.equal, statistics, model.buffers()))
            with torch.no_grad():
                model.eval()
                before, after = (nn.functional.cross_entropy(model(x), labels) for x in (images, found))
                model.train()
            assert after > before
            perturbed.append(found)
            model.register_forward_pre_hook(lambda _, inputs: learned.append(inputs[0]))
            return found

    perturbed: list[Tensor] = []
    learned: list[Tensor] = []
    objective = PGDAT(inner=Seen(**BUDGET))
    Descent(objective=objective, epochs=1, lr=0.05, batch_size=100, amp=amp).fit(
        network(), few, seed=0, device=CPU
    )
    assert len(perturbed) == 1
    assert learned[-1] is perturbed[0]


@pytest.fixture
def batch(few):
    return Batch(few.pixels(slice(20)), few.labels[:20], few.ids[:20])


def test_it_is_pgd(batch):
    """Step for step the attack of `attack=pgd`, from the start that torch's generator names."""
    model = network(dropout=0.0)
    torch.manual_seed(3)
    found = InnerAttack(**BUDGET).perturb(model, batch, Step(0, 0))
    torch.manual_seed(3)
    seed = int(torch.randint(2**31, ()))
    expected = PGD(eps=EPS, steps=3, step_size=EPS / 2).run(model, batch.images, batch.labels, seed)
    assert torch.equal(found, expected.images)


@pytest.mark.parametrize(("start", "reach"), [("none", 0.0), ("uniform", EPS), ("gaussian", 0.005)])
def test_starts(batch, start, reach):
    """Steps too small to be seen leave the start."""
    images = torch.full_like(batch.images, 0.5)
    attack = InnerAttack(eps=EPS, steps=1, step_size=1e-12, start=start)
    away = (attack.perturb(network(), batch._replace(images=images), Step(0, 0)) - images).abs()
    assert away.max() <= reach
    assert away.max() >= 0.5 * reach
    assert away.mean() == pytest.approx({"none": 0, "uniform": EPS / 2, "gaussian": 0.0008}[start], rel=0.1)


def test_the_divergence_from_clean_logits_is_what_trades_climbs(batch, digit_classifier):
    attack, model = InnerAttack(**BUDGET, start="gaussian", loss="kl"), digit_classifier
    found = attack.perturb(model, batch, Step(0, 0))
    with torch.no_grad():
        clean, start, end = (
            model(x).log_softmax(1)
            for x in (batch.images, batch.images + 0.001 * torch.randn_like(batch.images), found)
        )

    def divergence(other: Tensor) -> Tensor:
        return (clean.exp() * (clean - other)).sum(1)

    torch.testing.assert_close(kl(end, clean), divergence(end))
    assert divergence(end).mean() > 100 * divergence(start).mean()
    # no label is looked at
    other = batch._replace(labels=(batch.labels + 1) % 10)
    torch.manual_seed(0)
    one = attack.perturb(model, batch, Step(0, 0))
    torch.manual_seed(0)
    assert torch.equal(one, attack.perturb(model, other, Step(0, 0)))


def test_draws_are_fresh_or_held_and_never_the_updates(batch):
    class Noise(RandomModule):
        random = True

        def forward(self, images, draw=None):
            numbers.append(draw.number)
            return images

    def drawn(**settings) -> list[int]:
        numbers.clear()
        step = Step(0, 5)
        InnerAttack(**BUDGET, **settings).perturb(nn.Sequential(Noise(), network()), batch, step)
        assert step.draw(batch.ids).number not in numbers
        assert step.number * 1024 <= min(numbers) <= max(numbers) < (step.number + 1) * 1024
        return list(numbers)

    numbers: list[int] = []
    assert len(set(drawn(draws="fresh"))) == 3
    assert len(set(drawn(draws="held"))) == 1
    # the target of a divergence is of the same draw where it is held
    assert len(set(drawn(draws="held", loss="kl"))) == 1


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_mode_of_f_during_the_attack(batch, mode):
    model, modes = network(), []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    before = [buffer.clone() for buffer in model.buffers()]
    InnerAttack(**BUDGET, mode=mode).perturb(model, batch, Step(0, 0))
    assert modes == [mode == "train"] * 3
    assert model.training
    assert all(map(torch.equal, before, model.buffers())) is (mode == "eval")
    assert all(parameter.grad is None for parameter in model.parameters())


class KilledError(Exception):
    pass


class Kill:
    """A logger that kills the training after an epoch."""

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        raise KilledError


def test_a_killed_training_resumes_to_the_same_result(few, tmp_path):
    objective = PGDAT(inner=InnerAttack(**BUDGET))
    training = Descent(objective=objective, epochs=2, lr=0.05, batch_size=32, augment="shift")
    whole, resumed, other = network(), network(), network()
    training.fit(whole, few, seed=5, device=CPU)
    training.fit(other, few, seed=6, device=CPU)
    with pytest.raises(KilledError):
        training.fit(resumed, few, seed=5, device=CPU, state_path=tmp_path / "state.pt", logger=Kill())
    resumed = network(dropout=0.5)
    torch.rand(7)
    training.fit(resumed, few, seed=5, device=CPU, state_path=tmp_path / "state.pt")
    states = [list(model.state_dict().values()) for model in (whole, resumed, other)]
    assert all(map(torch.equal, states[0], states[1]))
    assert not all(map(torch.equal, states[0], states[2]))


def test_random_starts_differ_between_batches_and_epochs(few):
    starts: list[Tensor] = []

    @dataclass(kw_only=True)
    class Still(InnerAttack):
        def perturb(self, model, batch, step):
            half = batch._replace(images=torch.full_like(batch.images, 0.5))
            starts.append(super().perturb(model, half, step))
            return super().perturb(model, batch, step)

    # steps too small to be seen leave the start
    objective = PGDAT(inner=Still(**{**BUDGET, "step_size": 1e-12}))
    Descent(objective=objective, epochs=2, lr=0.01, batch_size=50).fit(network(), few, seed=0, device=CPU)
    assert len(starts) == 4
    pairs = [(a, b) for i, a in enumerate(starts) for b in starts[:i]]
    assert not any(torch.equal(a, b) for a, b in pairs)
    assert (starts[0] - 0.5).abs().max() > 0.9 * EPS


@pytest.mark.parametrize(
    "setting",
    [
        {"eps": 0},
        {"eps": "8/255"},
        {"step_size": 0},
        {"steps": 0},
        {"start": "random"},
        {"loss": "dlr"},
        {"draws": "new"},
        {"mode": "test"},
    ],
)
def test_bad_settings(setting):
    with pytest.raises(
        ConfigError, match=rf"training\.objective\.inner\.{next(iter(setting))} is .*; it must be"
    ):
        InnerAttack(**{**BUDGET, **setting})


def test_an_inner_attack_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"training\.objective\.inner is .*; it must be a vqexp"):
        PGDAT(inner=BUDGET)


def test_the_config_takes_the_presets_eps_and_recipe():
    register_resolvers()
    with initialize_config_dir(str(Path(__file__).parents[1] / "conf"), version_base=None):
        config = resolved(compose("config", overrides=["training=pgd_at", "preset.eps=0.12"]))
    training = build("training", config["training"])
    assert type(training.objective) is PGDAT
    inner = training.objective.inner
    assert (inner.eps, inner.step_size, inner.steps) == (0.12, pytest.approx(0.03), 7)
    assert (training.epochs, training.optimizer) == (config["preset"]["standard"]["epochs"], "adam")


def test_bad_settings_on_the_command_line(vqexp):
    status, _, err = vqexp("scale=smoke", "training=pgd_at", "training.objective.inner.steps=0")
    assert status == 2
    assert err == "vqexp: training.objective.inner.steps is 0; it must be an integer >= 1 and <= 500\n"
