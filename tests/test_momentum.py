"""PGD with momentum: its steps by hand, and what it gains where a gradient is noise."""

import pytest
import torch
from torch import nn

from vqexp.adversaries import WhiteBox
from vqexp.attacks import PGD, MomentumPGD
from vqexp.core.draws import Streams
from vqexp.core.errors import ConfigError
from vqexp.defenses import Defense

SETTINGS = {"eps": 0.4, "steps": 3, "step_size": 0.1, "random_start": False, "loss": "margin"}
LABELS = torch.zeros(2, dtype=torch.int64)
IMAGES = torch.full((2, 1, 1, 3), 0.5)


class Bowl(nn.Module):
    """Two logits: 0, and a quadratic function of the pixels, whose gradient changes on the way."""

    def forward(self, images):
        pixels = images.flatten(1)
        peak = torch.tensor([0.62, 0.3, 0.9])
        return torch.stack([torch.zeros(len(images)), -((pixels - peak) ** 2).sum(1)], 1)


def test_steps_by_hand():
    momenta = (0.0, 0.9)
    found = MomentumPGD(momenta=momenta, **SETTINGS | {"keep": 3}).run(Bowl(), IMAGES, LABELS, 0)
    assert found.tensors["losses"].shape == (2, 1, 3)
    x, velocities, losses = torch.full((3,), 0.5), [torch.zeros(3), torch.zeros(3)], []
    for _ in range(3):
        losses.append(Bowl()(x.view(1, 1, 1, 3))[0, 1])
        gradient = 2 * (torch.tensor([0.62, 0.3, 0.9]) - x)
        gradient = gradient / gradient.abs().mean()
        velocities = [m * v + gradient for m, v in zip(momenta, velocities, strict=True)]
        x = (x + 0.1 * sum(velocities).sign()).clamp(0.1, 0.9)
    torch.testing.assert_close(found.tensors["losses"][0, 0], torch.stack(losses))


def test_without_momentum_it_is_pgd():
    plain = PGD(**SETTINGS).run(Bowl(), IMAGES, LABELS, 0)
    same = MomentumPGD(momenta=[0], **SETTINGS).run(Bowl(), IMAGES, LABELS, 0)
    assert torch.equal(same.images, plain.images)
    # each restart begins at rest
    twice = MomentumPGD(momenta=[0.9], **SETTINGS, restarts=2).run(Bowl(), IMAGES, LABELS, 0)
    assert torch.equal(*twice.tensors["losses"].unbind(1))


class NoisySlope(Defense):
    """Adds to an image noise in proportion to it: the gradient of a draw is 1 plus large noise."""

    random = True

    def forward(self, images, draw=None):
        streams = Streams(0, self.draw_for(len(images), draw), images.device)
        return images * (1 + 4 * streams.normal(images.shape[1:], images.dtype))


class Sum(nn.Module):
    """Two logits: 0 and the sum of the pixels."""

    def forward(self, images):
        return torch.stack([torch.zeros(len(images)), images.flatten(1).sum(1)], 1)


def test_it_averages_noise_over_steps():
    """Nearly all pixels should go up; with momentum more of them do, at the same number of gradients."""
    images, labels = torch.full((20, 1, 8, 8), 0.5), torch.zeros(20, dtype=torch.int64)
    settings = {**SETTINGS, "steps": 60, "step_size": 0.02, "schedule": "cosine"}
    view = WhiteBox(gradient="exact").view(Sum(), NoisySlope())
    up = {}
    attacks = {"plain": PGD(**settings), "AggMo": MomentumPGD(momenta=[0, 0.9, 0.99], **settings)}
    for name, attack in attacks.items():
        found = attack.run(view, images, labels, 0)
        up[name] = (found.candidates[-1] - images).mean().item()
    assert up["AggMo"] > up["plain"] + 0.05


@pytest.mark.parametrize(
    ("momenta", "message"),
    [([], "attack.momenta is empty"), ([1], "attack.momenta is 1; it must be a number >= 0 and < 1")],
)
def test_bad_settings(momenta, message):
    with pytest.raises(ConfigError, match=message):
        MomentumPGD(momenta=momenta, **SETTINGS)
