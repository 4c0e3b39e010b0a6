"""What a gradient costs an attack: no pass through f or the defense twice, no number read by the host."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vqexp.adversaries import WhiteBox
from vqexp.adversaries.view import view_of
from vqexp.attacks import PGD, AutoAttack, MomentumPGD, Square
from vqexp.defenses import Defense

N, STEPS, DRAWS = 16, 5, 3
BALL = {"eps": 0.1, "batch_size": N}
STEPWISE = {"steps": STEPS, "step_size": 0.02, **BALL}


class Counting(nn.Module):
    """A linear f that counts the images it is asked for, with and without gradient."""

    def __init__(self):
        super().__init__()
        self.linear, self.images, self.calls = nn.Linear(12, 5), 0, 0

    def forward(self, images):
        self.images, self.calls = self.images + len(images), self.calls + 1
        return self.linear(images.flatten(1))


class Random(Defense):
    """A random defense that counts the images it is asked for."""

    random = True

    def __init__(self):
        super().__init__()
        self.images = 0

    def forward(self, images, draw=None):
        self.images += len(images)
        return images + 0.01


class Reads(TorchDispatchMode):
    """Counts how often a number goes from a tensor to the host: on a GPU, the host then waits."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **(kwargs or {}))


def attacked(attack, *, knows=False, samples=DRAWS, average="loss"):
    """What f, and the defense if it is known, were asked for; and the attack's numbers read by the host."""
    torch.manual_seed(0)
    f, defense = Counting(), Random()
    adversary = WhiteBox(gradient="ste", samples=samples, average=average)
    view = adversary.view(f, defense) if knows else view_of(f)
    if knows:
        view._bytes = 1  # what it would find out at its first call, by calls of its own
    images, labels = torch.rand(N, 3, 2, 2), torch.arange(N) % 5
    with Reads() as reads:
        found = attack.run(view, images, labels, 0)
    return f, defense, found, reads.count


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
def test_a_step_is_one_pass_and_what_fools_f_is_known_without_another(loss):
    f, _, found, _ = attacked(PGD(loss=loss, **STEPWISE))
    assert f.images == (STEPS + 1) * N  # the end point's too
    assert found.tensors["fooled"].equal(f(found.images).argmax(1) != torch.arange(N) % 5)


@pytest.mark.parametrize("average", ["loss", "output", "worst"])
@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_a_step_of_eot_is_one_pass_a_draw_and_one_call_where_they_fit(loss, average):
    f, defense, _, _ = attacked(PGD(loss=loss, **STEPWISE), knows=True, average=average)
    assert f.images == defense.images == STEPS * DRAWS * N
    assert f.calls == STEPS


def test_a_step_of_apgd_is_one_pass_a_draw():
    shorter, longer = (
        attacked(AutoAttack(version="rand", steps=steps, **BALL), knows=True)[:2] for steps in (4, 6)
    )
    for less, more in zip(shorter, longer, strict=True):
        assert more.images - less.images == 2 * 2 * DRAWS * N  # of two runs, two steps more


@pytest.mark.parametrize(
    ("attack", "knows"),
    [
        (lambda n: PGD(**{**STEPWISE, "steps": n}), False),
        (lambda n: PGD(**{**STEPWISE, "steps": n}, norm="l2", schedule="cosine"), False),
        (lambda n: PGD(**{**STEPWISE, "steps": n}), True),
        (lambda n: PGD(**{**STEPWISE, "steps": n}, loss="margin", confidence=1), True),
        (lambda n: MomentumPGD(**{**STEPWISE, "steps": n}, momenta=[0, 0.9]), True),
        (lambda n: Square(queries=n, p_init=0.8, **BALL), False),
    ],
    ids=["pgd", "l2", "eot", "margin", "momentum", "square"],
)
def test_the_host_reads_no_number_in_a_step(attack, knows):
    few, many = (attacked(attack(steps), knows=knows)[3] for steps in (2, 9))
    assert few == many > 0
