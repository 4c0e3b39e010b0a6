"""The positive control: known points exist, an attack that works finds them, one that does not is told."""

from types import SimpleNamespace

import pytest
import torch
from local_run import LocalRun
from torch import nn

from vqexp.adversaries import Oblivious, WhiteBox
from vqexp.attacks import PGD
from vqexp.audits.checks import CONTROL, Finding, attack_checks
from vqexp.classifiers import LogProbabilities
from vqexp.core.errors import SenselessError
from vqexp.core.estimate import proportion
from vqexp.defenses import AdditiveNoise, BitDepth, NoDefense, Saturated, adapted
from vqexp.metrics import PositiveControl
from vqexp.metrics.readout import Features, Readout, last_linear, separating

EPS = 0.1
X = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
OBLIVIOUS = Oblivious(cost="free")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10)).eval()


def measure(adversary=OBLIVIOUS, defense=None, steps=20, step_size=EPS):
    stages = LocalRun(network(), X, torch.zeros(len(X), dtype=torch.int64), defense=defense)
    attack = PGD(
        eps=EPS, steps=steps, step_size=step_size, loss="margin", schedule="cosine", random_start=False
    )
    stages.experiment = SimpleNamespace(attack=attack, adversary=adversary, seed=0, identity=lambda group: {})
    found = PositiveControl(inner=16, draws=2, tries=16, runs=5).measure(stages).estimates
    assert found["control_usable"].mean > 0.7
    assert found["control_found"].n == found["control_usable"].mean * len(X)
    return found["control_found"].mean, found["control_by_chance"].mean


@pytest.mark.parametrize(
    "settings",
    [{}, {"defense": AdditiveNoise(sigma=0.02), "adversary": WhiteBox(gradient="exact")}],
    ids=["fixed", "random"],
)
def test_an_attack_that_works_finds_the_known_points_and_chance_does_not(settings):
    found, by_chance = measure(**settings)
    assert found >= 0.95
    assert by_chance <= 0.5


def test_a_masked_gradient_and_too_small_steps_are_told():
    rounding = BitDepth(bits=4)
    assert measure(WhiteBox(gradient="ste"), rounding)[0] >= 0.95
    hidden = SimpleNamespace(view=lambda f, defense: WhiteBox(gradient="exact").view(f, defense))
    assert measure(hidden, rounding)[0] < 0.5
    assert measure(steps=1, step_size=EPS / 100)[0] < 0.5


def test_the_readout_tells_the_known_point_from_the_others():
    for points in (16, 300):  # fewer and more than there are features
        inside = torch.randn(points, 100, generator=torch.Generator().manual_seed(1)).double()
        known = 3 * torch.randn(1, 100, generator=torch.Generator().manual_seed(2)).double()
        weight, bias = separating(inside, known)
        assert float(known @ weight + bias) == pytest.approx(1)
        assert float((inside @ weight + bias).max()) == pytest.approx(-1)


def test_the_readout_reads_what_the_last_layer_gets():
    f = network()
    layer = last_linear(f, X[:1])
    assert layer is f[3]
    assert torch.equal(Features(f, layer)(X), f[:3](X))
    assert torch.allclose(Readout(f, layer, f[3].weight[4], f[3].bias[4])(X)[:, 1], f(X)[:, 4], atol=1e-6)


def test_where_the_last_linear_layer_is():
    f, head = network(), nn.Conv2d(1, 10, 8)
    after_softmax = LogProbabilities(nn.Sequential(f, nn.Softmax(1)))
    assert last_linear(after_softmax, X[:1]) is f[3]
    assert last_linear(nn.Sequential(f, nn.ReLU()), X[:1]) is None
    assert last_linear(nn.Sequential(head, nn.Flatten()), X[:1]) is None


@pytest.mark.parametrize(
    ("f", "defense", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()),
            NoDefense(),
            "needs an f that ends in a linear layer",
        ),
        (network(), Saturated(), "Saturated acts on more than f's input"),
    ],
)
def test_what_has_no_control_is_refused(f, defense, message):
    experiment = SimpleNamespace(
        attack=SimpleNamespace(perturbs=True),
        defense=adapted(defense),
        dataset=SimpleNamespace(shape=(1, 8, 8)),
        classifier=lambda: f,
        statistics=("running", "running"),
    )
    with pytest.raises(SenselessError, match=message):
        PositiveControl(inner=16, draws=1, tries=16, runs=1).check(experiment)


@pytest.mark.parametrize(("right", "holds"), [(20, True), (19, True), (18, False)])
def test_below_95_percent_the_attack_is_too_weak(right, holds):
    found = proportion((torch.arange(20) < right).unsqueeze(0))
    chance = proportion(torch.zeros(1, 20))
    record = SimpleNamespace(metrics={"control_found": found, "control_by_chance": chance})
    (check,) = attack_checks({"control": Finding("control", record, None, None)}, [], None)
    assert (check.name, check.holds, check.weak) == (CONTROL, holds, True)
    assert f"finds {5 * right} % of 20 points" in check.detail
