"""Square Attack: against the authors' code, a closed form, and what it promises."""

import pytest
import torch
from pyautoattack.square import SquareAttack
from torch import nn

from vqexp.adversaries import Query, View
from vqexp.attacks import Square
from vqexp.attacks.losses import margin_loss as margin
from vqexp.core.errors import ConfigError
from vqexp.defenses import SwRD


@pytest.fixture
def digits(digit_images):
    """100 digits and their labels."""
    return digit_images.pixels(slice(100)), digit_images.labels[:100]


class Recorder(View):
    """A view that keeps what it is asked and what it answers."""

    def __init__(self, view):
        super().__init__(view)
        self.view, self.random, self.decides = view, view.random, view.decides
        self.points, self.answers = [], []

    def forward(self, images):
        self.points.append(images)
        self.answers.append(self.view(images))
        return self.answers[-1]


class Inclusive(SquareAttack):
    """The authors' port never puts a square at the right or lower edge, which matters at 8 x 8 pixels."""

    def random_int(self, low=0, high=1, shape=(1,)):
        return super().random_int(low, high + 1, shape)


@torch.no_grad()
@pytest.mark.parametrize("eps", [0.06, 0.15])
def test_square_is_as_strong_as_the_authors(digits, digit_classifier, eps):
    images, labels = digits
    ours = Square(eps=eps, queries=150, p_init=0.8).run(digit_classifier, images, labels, 0).images
    with torch.random.fork_rng():
        theirs, with_edges = (
            authors(digit_classifier, eps=eps, n_queries=150, seed=0).perturb(images, labels)
            for authors in (SquareAttack, Inclusive)
        )
    clean, our, their, edges = (
        (digit_classifier(points).argmax(1) == labels).float().mean().item()
        for points in (images, ours, theirs, with_edges)
    )
    assert our == pytest.approx(edges, abs=0.05)
    assert 0 < our <= their + 0.02
    assert our < clean - 0.1


def test_square_reaches_the_optimum_of_a_linear_model():
    """Where each pixel goes as far as ball and box let it, in the direction of its weight."""
    torch.manual_seed(0)
    linear = nn.Linear(16, 2, bias=False).requires_grad_(False)
    images, labels = torch.rand(20, 1, 4, 4), torch.randint(2, (20,))
    found = Square(eps=0.2, queries=1500, p_init=0.8).run(
        nn.Sequential(nn.Flatten(), linear), images, labels, 0
    )
    direction = (linear.weight[1 - labels] - linear.weight[labels]).view_as(images).sign()
    best = (images + 0.2 * direction).clamp(0, 1)
    torch.testing.assert_close(found.images, best, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.tensors["loss"], margin(linear(best.flatten(1)), labels))


@pytest.mark.parametrize("samples", [None, 2])
def test_the_point_of_the_highest_loss_is_returned_after_all_queries(digits, digit_classifier, samples):
    """On a fixed view and on a random one; right from the first query on wrong images are attacked on."""
    images, labels = digits[0][:20], digits[1][:20]
    view = View(digit_classifier)
    if samples:
        defense = SwRD(s=2, k=4, sigma=4 / 255, tau=4 / 255, beta=5)
        view = Query(samples=samples).view(digit_classifier, defense)
        view.start(0)
    recorder = Recorder(view)
    found = Square(eps=0.3, queries=40, p_init=0.8).run(recorder, images, labels, 0)
    assert [len(points) for points in recorder.points] == [20] * 40
    losses = torch.stack([margin(answer, labels) for answer in recorder.answers])
    best = losses.argmax(0)
    assert torch.equal(found.images, torch.stack(recorder.points)[best, torch.arange(20)])
    assert torch.equal(found.tensors["loss"], losses.amax(0))
    assert (best > 0).any()
    assert found.images.requires_grad is False


def test_squares_shrink_on_the_authors_schedule():
    attack = Square(eps=0.1, queries=500, p_init=0.8)
    with torch.random.fork_rng():
        authors = SquareAttack(None, eps=0.1, n_queries=500, p_init=0.8)
    for step in range(500):
        share = authors.p_selection(step)
        assert attack._side(step, 32, 32) == max(round((share * 32 * 32) ** 0.5), 1)


def test_each_image_has_squares_of_its_own_and_the_seed_decides(digits, digit_classifier):
    images, labels = digits[0][:1].repeat(8, 1, 1, 1), digits[1][:1].repeat(8)
    attack = Square(eps=0.1, queries=30, p_init=0.3)
    first, again, other = (attack.run(digit_classifier, images, labels, seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(not torch.equal(first[0], image) for image in first[1:])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"norm": "l2"}, "attack.norm is 'l2'; it must be linf"),
        ({"queries": 0}, "attack.queries is 0; it must be an integer >= 1"),
        ({"queries": 2.5}, "attack.queries is 2.5"),
        ({"p_init": 0}, "attack.p_init is 0; it must be a number"),
        ({"p_init": 1.1}, "attack.p_init is 1.1"),
    ],
)
def test_bad_settings_are_refused(wrong, reason):
    with pytest.raises(ConfigError, match=reason):
        Square(**{"eps": 0.1, "queries": 10, "p_init": 0.8} | wrong)
