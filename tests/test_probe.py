"""What a model is, measured: each finding on a model that has it, beside one that has not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from vqexp.audits.probe import probe
from vqexp.classifiers import LogProbabilities
from vqexp.core.errors import ConfigError
from vqexp.defenses import AdditiveNoise, SwRD, defend

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6)


def linear(*after):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), *after).eval()


class Model(nn.Module):
    """A linear network on what `change` makes of the images."""

    def __init__(self, change, after=lambda scores: scores):
        super().__init__()
        self.network, self.change, self.after = linear(), change, after

    def forward(self, images):
        return self.after(self.network(self.change(images)))


own = torch.Generator().manual_seed(1)


def usual(**findings):
    expected = {
        "classes": 10,
        "training": False,
        "random": False,
        "one_draw": False,
        "seeded": True,
        "mixes": False,
        "differentiable": True,
        "vanishing": 0.0,
        "infinite": 0.0,
        "probabilities": False,
        "saturated": 0.0,
    }
    return {**expected, **findings}


CASES = {
    "a fixed network": (linear(), {}),
    "noise from torch's generator": (Model(lambda x: x + torch.randn_like(x)), {"random": True}),
    "dropout that is never off": (
        Model(lambda x: functional.dropout(x, 0.5, training=True)),
        {"random": True},
    ),
    "one draw a batch": (Model(lambda x: x * torch.rand(())), {"random": True, "one_draw": True}),
    "a generator of its own": (
        Model(lambda x: x + torch.randn(x.shape, generator=own)),
        {"random": True, "seeded": False},
    ),
    "a library's noise": (defend(linear(), AdditiveNoise(sigma=0.5)), {"random": True}),
    "a library's quantizer": (
        defend(linear(), SwRD(s=2, k=4, sigma=0.1, tau=0.1, beta=1.0, pixel_max=1)),
        {"random": True},
    ),
    "the batch's statistics": (
        Model(lambda x: functional.batch_norm(x, None, None, training=True)),
        {"mixes": True},
    ),
    "noise and the batch's statistics": (
        Model(lambda x: x - x.mean(0) + torch.rand_like(x)),
        {"random": True, "mixes": True},
    ),
    "no gradient": (Model(lambda x: x.detach().clone()), {"differentiable": False}),
    "rounding": (Model(lambda x: (x * 4).round()), {"vanishing": 1.0}),
    "an infinite gradient": (Model(lambda x: (x - x).sqrt() + x), {"infinite": 1.0}),
    "a softmax": (linear(nn.Softmax(1)), {"probabilities": True}),
    "a sigmoid": (linear(nn.Sigmoid()), {}),
    "log-probabilities": (linear(nn.LogSoftmax(1)), {}),
    "a softmax, undone": (LogProbabilities(linear(nn.Softmax(1))), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name):
    model, findings = CASES[name]
    model.eval()
    found = probe(model, IMAGES, LABELS)
    assert vars(found) == usual(**findings)
    assert len(found.lines()) >= 1 + len(findings) - ("random" in findings)


def test_a_saturated_softmax_is_counted():
    found = probe(Model(lambda x: 1000 * x, lambda scores: scores.softmax(1)), IMAGES, LABELS)
    assert found.probabilities
    assert found.saturated == 1
    assert found.vanishing > 0


def test_the_logarithm_of_probabilities_has_the_gradient_of_the_logits():
    logits = linear()
    probabilities = LogProbabilities(nn.Sequential(logits, nn.Softmax(1)))
    images = IMAGES.clone().requires_grad_(True)
    gradients = [
        torch.autograd.grad(functional.cross_entropy(model(images), LABELS), images)[0]
        for model in (logits, probabilities)
    ]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_nothing_of_the_model_or_the_generators_changes():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), linear()).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    found = probe(model, IMAGES, LABELS)
    assert torch.equal(torch.rand(3), expected)
    assert found.training
    assert not found.random  # dropout is off in evaluation mode
    assert model[0].training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(lambda x: x, lambda scores: (scores,)), "the classifier returns tuple for 6 images"),
        (Model(lambda x: x, lambda scores: scores[0]), r"returns \(10,\) for 6 images"),
        (Model(lambda x: x, lambda scores: scores / 0), "NaN or infinite"),
        (nn.Linear(3, 2), r"fails on images \(6, 1, 8, 8\): .*mat1 and mat2"),
    ],
)
def test_a_model_that_cannot_be_attacked_is_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        probe(model, IMAGES, LABELS)
