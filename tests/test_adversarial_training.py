"""Adversarial training: what it attacks, what it gains, resuming, settings."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from networks import network
from torch import Tensor, nn

from vqexp.attacks import PGD
from vqexp.core.config import register_resolvers
from vqexp.core.errors import ConfigError
from vqexp.training import Adversarial, Standard

CPU = torch.device("cpu")
EPS = 0.2
BUDGET = {"eps": EPS, "attack_steps": 3, "step_size": EPS / 2}


def test_it_gains_robustness_over_standard_training(train, digit_images):
    images, labels = digit_images.pixels(slice(200)), digit_images.labels[:200]
    attack = PGD(eps=EPS, steps=20, step_size=EPS / 10)

    def accuracies(training: Standard) -> list[float]:
        """Natural and robust."""
        classifier = network(width=12, dropout=0.0)
        training.fit(classifier, train, seed=0, device=CPU)
        found = attack.run(classifier.requires_grad_(False), images, labels, 0).images
        with torch.no_grad():
            return [(classifier(x).argmax(1) == labels).float().mean().item() for x in (images, found)]

    recipe = {"epochs": 3, "lr": 0.02, "batch_size": 64, "optimizer": "adam", "schedule": "one_cycle"}
    _, undefended = accuracies(Standard(**recipe))
    natural, robust = accuracies(Adversarial(**recipe, **BUDGET))
    assert undefended < 0.1
    assert 0.25 < robust < natural
    assert natural > 0.8


@pytest.mark.parametrize("amp", [False, True])
def test_the_loss_is_of_adversarial_images_inside_the_ball(few, amp):
    @dataclass(kw_only=True)
    class Seen(Adversarial):
        def perturb(self, classifier: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            statistics = [buffer.clone() for buffer in classifier.buffers()]
            found = super().perturb(classifier, images, labels)
            assert classifier.training
            assert not found.requires_grad
            assert found.dtype == torch.float32
            assert (found - images).abs().max() <= EPS + 1e-6
            assert found.min() >= 0
            assert found.max() <= 1
            # the attack's own passes are not what batch normalization learns from
            assert all(map(torch.equal, statistics, classifier.buffers()))
            with torch.no_grad():
                classifier.eval()
                before, after = (nn.functional.cross_entropy(classifier(x), labels) for x in (images, found))
                classifier.train()
            assert after > before
            perturbed.append(found)
            return found

        def loss(self, classifier, images, labels, ids, epoch):
            classifier.register_forward_pre_hook(lambda _, inputs: learned.append(inputs[0]))
            return super().loss(classifier, images, labels, ids, epoch)

    perturbed: list[Tensor] = []
    learned: list[Tensor] = []
    Seen(epochs=1, lr=0.05, batch_size=100, amp=amp, **BUDGET).fit(network(), few, seed=0, device=CPU)
    assert len(perturbed) == 1
    assert learned[-1] is perturbed[0]


class KilledError(Exception):
    pass


class Kill:
    """A logger that kills the training after an epoch."""

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        raise KilledError


def test_a_killed_training_resumes_to_the_same_result(few, tmp_path):
    training = Adversarial(epochs=2, lr=0.05, batch_size=32, augment="shift", **BUDGET)
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
    class Still(Adversarial):
        def loss(self, classifier, images, labels, ids, epoch):
            starts.append(self.perturb(classifier, torch.full_like(images, 0.5), labels))
            return super().loss(classifier, images, labels, ids, epoch)

    # steps too small to be seen leave the start
    still = {**BUDGET, "step_size": 1e-12}
    Still(epochs=2, lr=0.01, batch_size=50, **still).fit(network(), few, seed=0, device=CPU)
    assert len(starts) == 4
    pairs = [(a, b) for i, a in enumerate(starts) for b in starts[:i]]
    assert not any(torch.equal(a, b) for a, b in pairs)
    assert (starts[0] - 0.5).abs().max() > 0.9 * EPS


@pytest.mark.parametrize("setting", [{"eps": 0}, {"eps": "8/255"}, {"step_size": 0}, {"attack_steps": 0}])
def test_bad_settings(setting):
    with pytest.raises(ConfigError, match=rf"training\.{next(iter(setting))} is .*; it must be"):
        Adversarial(epochs=1, lr=0.1, **{**BUDGET, **setting})
    with pytest.raises(ConfigError, match="epochs is 0"):
        Adversarial(epochs=0, lr=0.1, **BUDGET)


def test_the_config_takes_the_presets_eps_and_recipe():
    register_resolvers()
    with initialize_config_dir(str(Path(__file__).parents[1] / "conf"), version_base=None):
        config = compose("config", overrides=["training=adversarial", "preset.eps=0.12"])
    training = instantiate(config.training)
    assert type(training) is Adversarial
    assert (training.eps, training.step_size) == (0.12, pytest.approx(0.03))
    assert (training.epochs, training.optimizer) == (config.preset.standard.epochs, "adam")


def test_bad_settings_on_the_command_line(vqexp):
    status, _, err = vqexp("scale=smoke", "training=adversarial", "training.attack_steps=0")
    assert status == 2
    assert err == "vqexp: training.attack_steps is 0; it must be an integer >= 1\n"
