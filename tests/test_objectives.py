"""Objectives of adversarial training against their papers' formulas, and against the usual mistakes."""

from dataclasses import dataclass, replace

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from vqexp.core.components import build
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import RandomModule, bound
from vqexp.training import PGDAT, InnerAttack, Mart, Trades
from vqexp.training.objectives.mart import boosted_cross_entropy
from vqexp.training.step import Batch, Step

register_resolvers()
EPS, BETA, STEP = 0.1, 3.0, Step(0, 0)


@dataclass(kw_only=True)
class Fixed(InnerAttack):
    """Gives back the image plus a pattern that depends on nothing."""

    def perturb(self, model: nn.Module, batch: Batch, step: Step) -> Tensor:
        return batch.images + moved(batch.images)


def moved(images: Tensor) -> Tensor:
    return EPS * torch.sin(torch.arange(images.numel(), dtype=images.dtype).view_as(images) ** 2)


FIXED = Fixed(eps=EPS, steps=1, step_size=EPS)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    images = torch.rand(6, 1, 4, 4, dtype=torch.float64)
    return Batch(images, torch.tensor([0, 1, 2, 2, 1, 0]), torch.arange(6))


@pytest.fixture
def model():
    torch.manual_seed(2)
    layers = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3)
    return nn.Sequential(*layers).double()


def probabilities(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(1, keepdim=True)


def trades(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """Zhang et al., eq. 5, image by image."""
    p, q = probabilities(clean), probabilities(adversarial)
    terms = [
        -p[i, y].log() + BETA * sum(p[i, k] * (p[i, k] / q[i, k]).log() for k in range(3))
        for i, y in enumerate(labels)
    ]
    return torch.stack(terms).sum() / len(labels)


def mart(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """Wang et al., eqs. 8 and 11, image by image."""
    p, q = probabilities(clean), probabilities(adversarial)
    terms = []
    for i, y in enumerate(labels.tolist()):
        rival = max(q[i, k] for k in range(3) if k != y)
        divergence = sum(p[i, k] * (p[i, k] / q[i, k]).log() for k in range(3))
        terms.append(-q[i, y].log() - (1 - rival).log() + BETA * divergence * (1 - p[i, y]))
    return torch.stack(terms).sum() / len(labels)


@pytest.mark.parametrize(("objective", "formula", "shown"), [(Trades, trades, 0), (Mart, mart, 1)])
def test_loss_and_gradient_are_the_papers(model, batch, objective, formula, shown):
    clean, adversarial = model(batch.images), model(batch.images + moved(batch.images))
    loss, logits = objective(inner=FIXED, beta=BETA).loss(model, batch, STEP)
    expected = formula(clean, adversarial, batch.labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits, (clean, adversarial)[shown])
    # without the clean side's part the gradient would be another one
    half = formula(clean.detach(), adversarial, batch.labels)
    found, wanted, other = (
        torch.autograd.grad(value, model.parameters(), retain_graph=True) for value in (loss, expected, half)
    )
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(other[0], wanted[0], rtol=0.1)


def test_the_margin_of_boosted_cross_entropy_is_to_the_best_other_class():
    """An image that f knows has its second probability in the margin, not its own; and it stays finite."""
    logits = torch.tensor([[5.0, 2.0, 0.0], [0.0, 2.0, 5.0], [200.0, 0.0, -5.0], [-200.0, 0.0, 200.0]])
    labels = torch.tensor([0, 0, 0, 0])
    p = logits.double().softmax(1)
    expected = -p[:, 0].log() - torch.stack([1 - p[0, 1], 1 - p[1, 2], 1 - p[2, 1], p[3, 1]]).log()
    torch.testing.assert_close(boosted_cross_entropy(logits, labels).double(), expected)


@pytest.mark.parametrize("name", ["trades", "mart"])
def test_batch_normalization_learns_from_two_passes_alone(model, batch, name):
    """The attack is made in evaluation mode: it moves no statistics and does not depend on the batch."""
    objective = training(name).objective
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(0)
    objective.loss(model, batch, STEP)
    moved = [buffer.clone() for buffer in model.buffers()]
    model.load_state_dict(before)
    torch.manual_seed(0)
    adversarial = objective.inner.perturb(model, batch, STEP)
    model(batch.images), model(adversarial)
    assert all(map(torch.equal, moved, model.buffers()))
    assert model[1].num_batches_tracked == 2
    # one image alone is attacked as in its batch
    start_free = replace(objective.inner, start="none", loss="ce")
    alone = Batch(*(part[:1] for part in batch))
    found = (start_free.perturb(model, each, STEP)[:1] for each in (batch, alone))
    torch.testing.assert_close(*found)


def training(name: str, *overrides: str):
    """What `training=name` makes, at `preset.eps` 0.1."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = resolved(compose("config", overrides=[f"training={name}", f"preset.eps={EPS}", *overrides]))
    return build("training", config["training"])


@pytest.mark.parametrize(
    ("name", "objective", "expected"),
    [
        ("trades", Trades, ("gaussian", "kl", 10, 0.25, "fresh", "eval")),
        ("mart", Mart, ("gaussian", "ce", 10, 0.25, "fresh", "eval")),
        ("fast", PGDAT, ("uniform", "ce", 1, 1.25, "fresh", "train")),
        ("overfit", PGDAT, ("uniform", "ce", 10, 0.25, "fresh", "train")),
        ("ctrw", PGDAT, ("uniform", "ce", 10, 0.25, "held", "train")),
    ],
)
def test_the_configs_are_the_papers(name, objective, expected):
    found = training(name)
    inner = found.objective.inner
    assert type(found.objective) is objective
    assert inner.eps == EPS
    assert (inner.start, inner.loss, inner.steps) == expected[:3]
    assert inner.step_size == pytest.approx(expected[3] * EPS)
    assert (inner.draws, inner.mode) == expected[4:]
    stops = name in ("overfit", "ctrw")
    early = ("held_out", "robust_accuracy") if stops else ("last", "natural_accuracy")
    assert (found.selection, found.selection_metric) == early


def rates(name: str, *overrides: str) -> list[float]:
    """Learning rates of the first step and after each epoch of 10 batches."""
    recipe = training(name, *overrides)
    weight = nn.Parameter(torch.ones(()))
    stepper = recipe.stepper([{"params": [weight]}], 10, torch.device("cpu"))
    found = []
    for number in range(recipe.epochs * 10):
        if number % 10 == 0:
            found.append(stepper.state_dict()["optimizer"]["param_groups"][0]["lr"])
        stepper.step(weight * 0)
    return found


def test_the_schedules_are_the_papers():
    """Wong et al.: up to 0.2 in half of the training and down again. Rice et al.: a tenth at 100 and 150."""
    cycle = rates("fast", "training.epochs=4")
    assert cycle == pytest.approx([0, 0.1, 0.2, 0.1])
    drops = rates("overfit", "dataset=cifar10", "preset=ctrw/cifar10")
    assert [drops[epoch] for epoch in (0, 99, 100, 149, 150)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3])


class Weights(RandomModule):
    """W = mu + delta sigma of every call, eq. 4, with one delta a draw."""

    random = True
    per_image = False

    def __init__(self) -> None:
        super().__init__()
        self.mu, self.sigma = (nn.Parameter(torch.ones(1, 1, 4, 4, dtype=torch.float64)) for _ in range(2))
        self.numbers: list[int] = []

    def forward(self, images, draw=None):
        number = self.draw_for(len(images), draw).number
        self.numbers.append(number)
        delta = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(number), dtype=images.dtype)
        return images * (self.mu + delta * self.sigma)


def test_algorithm_1_attacks_one_draw_and_updates_on_another(model, batch):
    """The loss, and the gradient of mu and sigma, against Algorithm 1 written out."""
    weights = Weights()
    model = nn.Sequential(weights, model)
    objective = training("ctrw").objective
    objective.inner.start = "none"
    with bound(model, STEP.draw(batch.ids)):
        loss, _ = objective.loss(model, batch, STEP)
    held, numbers = weights.numbers[0], weights.numbers
    assert numbers == [held] * 10 + [numbers[-1]]
    assert numbers[-1] != held
    found = torch.autograd.grad(loss, [weights.mu, weights.sigma])

    def h(images: Tensor, number: int) -> Tensor:
        delta = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(number), dtype=images.dtype)
        return model[1](images * (weights.mu + delta * weights.sigma))

    delta_x = torch.zeros_like(batch.images)
    for _ in range(10):
        point = (batch.images + delta_x).clamp(0, 1).requires_grad_()
        gradient = torch.autograd.grad(nn.functional.cross_entropy(h(point, held), batch.labels), point)[0]
        delta_x = (point.detach() + EPS / 4 * gradient.sign() - batch.images).clamp(-EPS, EPS)
    adversarial = (batch.images + delta_x).clamp(0, 1)
    expected = nn.functional.cross_entropy(h(adversarial, numbers[-1]), batch.labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, torch.autograd.grad(expected, [weights.mu, weights.sigma]))


@pytest.mark.parametrize("objective", [Trades, Mart])
def test_bad_settings(objective):
    with pytest.raises(ConfigError, match=r"training\.objective\.beta is -1; it must be"):
        objective(inner=FIXED, beta=-1)
    with pytest.raises(ConfigError, match=r"training\.objective\.inner is 3; it must be"):
        objective(inner=3)
