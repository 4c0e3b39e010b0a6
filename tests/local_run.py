"""A run without pipeline or store: what a metric asks for, computed on the spot."""

from types import SimpleNamespace

import torch
from torch import nn

from vqexp.adversaries import Oblivious
from vqexp.adversaries.view import view_of
from vqexp.core.reductions import votes
from vqexp.core.sampling import Sampler
from vqexp.defenses import Defended, NoDefense, adapted


class Noise(nn.Module):
    """A defense that knows nothing of draws and takes its numbers from torch's own generator."""

    def forward(self, images):
        return images + 0.1 * torch.randn_like(images)


class LocalRun:
    """Clean images x and, if given, adversarial ones, in chunks of `size`; in place of `Stages`."""

    def __init__(self, classifier, x, labels, *, adversarial=None, defense=None, view=None, size=4):
        n = len(x)
        self.images = SimpleNamespace(
            ids=torch.arange(100, 100 + n), labels=labels, pixels=lambda rows: x[rows]
        )
        self.chunks = [slice(i, min(i + size, n)) for i in range(0, n, size)]
        self.classifier, self.defense = classifier, adapted(defense or NoDefense())
        self.model = Defended(self.defense, classifier)
        self.draws = Sampler(seed=0).draws
        self.view = view_of(classifier if view is None else view)
        self.attacked = adversarial is not None
        self._x, self._adversarial = x, adversarial

    def inputs(self, index, adversarial):
        return (self._adversarial if adversarial else self._x)[self.chunks[index]]

    adversarial_images = property(lambda self: lambda index: self.inputs(index, True))

    def known(self, name):
        assert name == "perturbed"
        return (self._adversarial != self._x).flatten(1).any(1)

    def votes(self, *, adversarial, purpose, draws):
        parts = [
            votes(self.draws(self.model, self.inputs(i, adversarial), self.images.ids[rows], purpose, draws))
            for i, rows in enumerate(self.chunks)
        ]
        return torch.cat(parts)

    def chunked(self, kind, settings, compute, *, adversarial, seen=False):
        parts = [compute(index) for index in range(len(self.chunks))]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def setup(defense=None, perturbs=True, adversary=None, shape=(1, 8, 8)):
    """In place of an `Experiment`: what the check of a metric asks for."""
    return SimpleNamespace(
        dataset=SimpleNamespace(shape=shape),
        defense=adapted(defense or NoDefense()),
        adversary=adversary or Oblivious(cost="free"),
        attack=SimpleNamespace(perturbs=perturbs),
    )
