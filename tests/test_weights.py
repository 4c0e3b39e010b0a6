"""Random weights inside f: their distribution, their draws, their constraint, their positions."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from vqexp.adversaries import WhiteBox
from vqexp.adversaries.view import DRAWS
from vqexp.attacks import PGD
from vqexp.classifiers import load_checkpoint, positions, save_checkpoint, small_resnet, wide_resnet
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call, is_random
from vqexp.defenses import CTRW, RNA, RPF, defend
from vqexp.defenses.weights.constraint import Constraint
from vqexp.defenses.weights.ctrw import RandomFilters, RandomWeight
from vqexp.pipeline import read, run
from vqexp.pipeline.build import prepare
from vqexp.pipeline.stages import Stages
from vqexp.training import CrossEntropy, Descent

FREE = Constraint()
SHAPE = (3, 8, 8)
X = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    return small_resnet(SHAPE, 10, width=4).eval()


def random_weight(shape, kind=RandomWeight, *arguments):
    """With mu and sigma of its own in each entry."""
    layer = kind(*(arguments or (shape,)), FREE)
    generator = torch.Generator().manual_seed(1)
    for parameter in (layer.mu, layer.sigma):
        parameter.data = torch.rand(shape, generator=generator) + 0.5
    return layer


# eq. 4


def test_weights_are_normal_around_mu_with_sigma():
    layer, n = random_weight((1, 2, 3, 3)), 2000
    drawn = call(layer, torch.ones(n, 2, 3, 3), Draw("report", torch.arange(n))).detach().flatten(1)
    mu, sigma = layer.mu.detach().flatten(), layer.sigma.detach().flatten()
    standard = (drawn - mu) / sigma
    assert standard.mean(0).abs().max() < 5 / n**0.5
    assert (standard.var(0) - 1).abs().max() < 5 * (2 / n) ** 0.5
    correlation = torch.corrcoef(standard.T) - torch.eye(18)
    assert correlation.abs().max() < 5 / n**0.5


@pytest.mark.parametrize("where", ["in_channels", "out_channels", "both", "filters"])
def test_a_draw_is_one_network_for_the_whole_batch(where):
    model = defend(network(), CTRW(shape=SHAPE, where=where))
    alone = [call(model, X, Draw("report", number)) for number in (3, 4)]
    torch.testing.assert_close(call(model, X[2:], Draw("report", 3, torch.tensor([7, 9]))), alone[0][2:])
    assert (alone[0] - alone[1]).abs().amax(1).min() > 1e-3
    assert torch.equal(alone[0], call(model, X, Draw("report", 3)))
    assert not torch.equal(alone[0], call(model, X, Draw("attack", 3)))
    mixed = call(model, X, Draw("report", torch.tensor([4, 3, 4, 3])))
    torch.testing.assert_close(mixed, torch.stack([alone[1][0], alone[0][1], alone[1][2], alone[0][3]]))


@pytest.mark.parametrize(("kind", "shape"), [(RandomWeight, (1, 2, 4, 4)), (RandomFilters, (3, 2, 3, 3))])
def test_gradients_are_those_of_finite_differences(kind, shape):
    torch.manual_seed(0)
    arguments = (nn.Conv2d(2, 3, 3),) if kind is RandomFilters else ()
    layer = random_weight(shape, kind, *arguments).double()

    def output(x, mu, sigma):
        layer.mu, layer.sigma = nn.Parameter(mu), nn.Parameter(sigma)
        del layer._parameters["mu"], layer._parameters["sigma"]
        layer.mu, layer.sigma = mu, sigma
        return call(layer, x, Draw("report", torch.tensor([0, 1])))

    inputs = (torch.rand(2, 2, 4, 4).double(), layer.mu.detach(), layer.sigma.detach())
    assert torch.autograd.gradcheck(output, [each.requires_grad_() for each in inputs])


# the constraint


SIGMA = torch.tensor([0.5, 1.0, 3.0, -0.5])  # their sum is 4


@pytest.mark.parametrize(
    ("kind", "lower", "upper", "expected"),
    [
        ("sum", 6, 7, SIGMA + 0.5),
        ("sum", 1, 2, SIGMA - 0.5),
        ("sum", 3, 5, SIGMA),
        ("sum", None, None, SIGMA),
        ("element", 2, 8, torch.tensor([0.5, 1.0, 2.0, 0.5])),
        ("element", 4, None, torch.tensor([1.0, 1.0, 3.0, 1.0])),
        ("element", None, None, SIGMA),
    ],
)
def test_the_constraint_by_hand(kind, lower, upper, expected):
    found = Constraint(kind, lower, upper)(SIGMA)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(Constraint(kind, lower, upper)(found), found)


@pytest.mark.parametrize(("std", "total"), [("lower", 8.0), ("upper", 24.0), ("middle", 16.0), ("zero", 0.0)])
def test_a_fixed_sigma(std, total):
    layer = RandomWeight((1, 1, 4, 4), Constraint("sum", 8, 24), std)
    torch.testing.assert_close(layer.sigma, torch.full((1, 1, 4, 4), total / 16))
    assert [name for name, _ in layer.named_parameters()] == ["mu"]
    assert layer.random == (std != "zero")


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({"lower": 90, "upper": None}, 90, 90.001),  # from 64, which is below, it is raised
        ({"lower": 10, "upper": 40}, 39.9, 40.001),
        ({"lower": 90, "upper": None, "constraint": "element"}, 90, 100),
        ({"lower": None, "upper": None}, 50, 66),
        ({"std": "middle", "lower": 10, "upper": 30}, 20, 20.001),
    ],
)
def test_training_keeps_it(few, settings, low, high):
    torch.manual_seed(0)
    model = CTRW(shape=(1, 8, 8), **settings).install(small_resnet((1, 8, 8), 10, width=2))
    training = Descent(objective=CrossEntropy(), epochs=1, lr=0.05, batch_size=50)
    training.fit(model, few, seed=0, device=torch.device("cpu"))
    layer = model.conv1[0]
    assert low - 1e-3 <= layer.sigma.sum().item() <= high
    assert layer.mu.std() > 1e-4
    if "element" in settings.values():
        assert layer.sigma.min().item() == pytest.approx(90 / 64)


# where they stand


def test_each_position_has_weights_of_its_map():
    shapes = {0: (1, 3, 8, 8), 1: (1, 4, 4, 4), 2: (1, 4, 4, 4), 3: (1, 8, 2, 2), 5: (1, 16)}
    assert positions(network()).keys() == shapes.keys()
    for position, shape in shapes.items():
        model = CTRW(shape=SHAPE, position=position).install(network())
        (layer,) = [each for each in model.modules() if isinstance(each, RandomWeight)]
        assert layer.mu.shape == shape
        plain = call(model, X, Draw(mean=True))  # mu is 1
        torch.testing.assert_close(plain, network()(X))
    with pytest.raises(ConfigError, match=r"position is 4; this classifier has 0 \(conv1\), 1 \(layer1\)"):
        CTRW(shape=SHAPE, position=4).install(network())
    assert positions(wide_resnet(SHAPE, 10, depth=10, widen_factor=1))[3] == "block3"


def test_in_and_out():
    """The layers multiply the convolution's input and output by weights, each with draws of its own."""
    model, f = CTRW(shape=SHAPE, where="both").install(network()), network()
    before, convolution, after = model.conv1
    draw = Draw("report", 5)
    f.conv1 = nn.Identity()
    weights = [
        layer(torch.ones(1, *layer.mu.shape[1:]), draw=Draw("report", 5, place=place))
        for place, layer in enumerate((before, after))
    ]
    expected = f(weights[1] * convolution(X * weights[0]))
    torch.testing.assert_close(call(model, X, draw), expected)
    assert not torch.allclose(weights[0].flatten()[:9], weights[1].flatten()[:9])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"position": 6}, "position"),
        ({"where": "inside"}, "in_channels, out_channels, both, filters"),
        ({"where": "filters", "position": 1}, "position=0"),
        ({"std": "big"}, "trained, lower, middle, upper, zero"),
        ({"std": "middle", "upper": None}, "std=middle needs"),
        ({"constraint": "mean"}, "sum, element"),
        ({"lower": 3, "upper": 2}, "at most defense.upper"),
        ({"lower": -1}, "lower"),
    ],
)
def test_bad_settings(wrong, told):
    with pytest.raises(ConfigError, match=told):
        CTRW(shape=SHAPE, **wrong)


def test_images_of_another_shape(config):
    with pytest.raises(ConfigError, match=r"defense\.shape is \[3, 8, 8\]; the images are \[1, 8, 8\]"):
        prepare(config("defense=ctrw", "defense.shape=[3,8,8]", "adversary=held"))


# in a run


@pytest.mark.parametrize("where", ["both", "filters"])
def test_a_checkpoint_holds_them(tmp_path, where):
    one, two = (CTRW(shape=SHAPE, where=where).install(network()) for _ in range(2))
    for parameter in one.parameters():
        parameter.data += 0.1
    save_checkpoint(one, tmp_path / "f.safetensors")
    load_checkpoint(two, tmp_path / "f.safetensors")
    assert torch.equal(call(one, X, Draw("report", 0)), call(two, X, Draw("report", 0)))


def test_keys_contain_their_settings(config):
    changes = ((), ("defense.position=5",), ("defense.lower=22",), ("defense.std=lower",))
    stages = [Stages(prepare(config("defense=ctrw", "adversary=held", *each))) for each in changes]
    assert len({each.classifier_key for each in stages}) == len(changes)
    assert is_random(stages[0].experiment.classifier())


@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("defense", [CTRW, RNA, RPF])
def test_attackers_of_every_knowledge(defense, draws):
    """Each finds points of higher loss on the draws that it sees."""
    installed, labels = defense(shape=(3, 16, 16)), torch.arange(4)
    torch.manual_seed(0)
    model = installed.install(small_resnet((3, 16, 16), 10, width=4).eval())
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    adversary = WhiteBox(gradient="exact", draws=draws, samples=1 if draws == "mean" else 2)
    adversary.check(installed)
    view = adversary.view(model, installed)
    adversarial = PGD(eps=0.1, steps=3, step_size=0.05).run(view, images, labels, seed=0).images
    seen = {"fresh": Draw("attack", 2**30), "evaluation": Draw("report"), "mean": Draw(mean=True)}
    losses = []
    for each in (images, adversarial):
        view.start(0)
        logits = view(each) if draws == "held" else call(model, each, seen[draws])
        losses.append(cross_entropy(logits, labels).item())
    assert losses[1] > losses[0] + 0.01


def test_a_run_against_held_draws(config):
    few = ("classifier.width=4", "dataset.n=8", "attack.steps=1", "training.epochs=1")
    record = read(run(config("defense=ctrw", "adversary=held", *few)))
    assert record.metrics["robust_accuracy"].n == 8
    with pytest.raises(ConfigError, match="this defense is inside f; choose an adversary that sees it"):
        prepare(config("defense=ctrw", "adversary=oblivious"))
