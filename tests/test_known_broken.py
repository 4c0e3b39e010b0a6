"""Defenses known to be broken, and gradient-masking controls: what they compute, and what breaks them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import median_filter
from torchvision.transforms.v2 import functional as tv

from vqexp.adversaries import Oblivious, StraightThrough, WhiteBox
from vqexp.attacks import PGD
from vqexp.attacks.losses import LOSSES
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import JPEG, BitDepth, Defense, Detached, Median, ResizePad, Saturated, defend

DEFENSES = {
    "jpeg": JPEG(quality=75),
    "bit_depth": BitDepth(bits=3),
    "median": Median(size=3),
    "resize_pad": ResizePad(low=0.5),
    "detached": Detached(),
    "saturated": Saturated(),
}
SHAPES = [(5, 1, 8, 8), (3, 3, 12, 9), (1, 3, 32, 32)]


def random_images(shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DEFENSES)
def test_shape_range_and_independence_of_the_batch(name, shape):
    defense, images = DEFENSES[name], random_images(shape)
    kept, ids = images.clone(), torch.arange(100, 100 + len(images))
    result = defense(images, Draw("report", 2, ids))
    assert torch.equal(images, kept)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert result.min() >= 0
    assert result.max() <= 1
    alone = [defense(images[i : i + 1], Draw("report", 2, ids[i : i + 1])) for i in range(len(images))]
    assert torch.equal(result, torch.cat(alone))


@pytest.mark.parametrize("quality", [1, 40, 75, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_torchvisions_and_close_to_pillows(channels, quality):
    images = random_images((2, channels, 24, 17))
    pixels = (images * 255).round().byte()
    found = JPEG(quality=quality)(images)
    assert torch.equal(found, torch.stack([tv.jpeg(image, quality) for image in pixels]) / 255)
    for image, result in zip(pixels, found, strict=True):
        file = io.BytesIO()
        pillow = tv.to_pil_image(image)
        pillow.save(file, "JPEG", quality=quality)
        expected = np.atleast_3d(np.asarray(Image.open(file))).transpose(2, 0, 1) / 255
        assert np.abs(result.numpy() - expected).mean() < 0.01


def test_jpeg_rounds_and_does_less_at_a_higher_quality(cifar10):
    images = cifar10[:20]
    errors = [(JPEG(quality=q)(images) - images).abs().mean() for q in (10, 50, 75, 95)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_is_the_nearest_level(bits):
    images = random_images((4, 3, 9, 9))
    levels = torch.linspace(0, 1, 2**bits)
    nearest = levels[(images.unsqueeze(-1) - levels).abs().argmin(-1)]
    defense = BitDepth(bits=bits)
    torch.testing.assert_close(defense(images), nearest, rtol=0, atol=1e-6)
    assert torch.equal(defense(defense(images)), defense(images))
    assert set(defense(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)).flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("size", [3, 5])
def test_median_is_scipys(size):
    images = random_images((3, 2, 7, 10))
    # scipy calls `mirror` what torch calls reflect
    expected = median_filter(images.numpy(), size=(1, 1, size, size), mode="mirror")
    assert torch.equal(Median(size=size)(images), torch.from_numpy(expected))


def test_median_passes_the_gradient_to_the_median():
    images = random_images((1, 1, 6, 6)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(Median(size=3)(images)[0, 0, 2, 3], images)
    window = images[0, 0, 1:4, 2:5].flatten()
    expected = torch.zeros_like(images)
    expected[0, 0, 1:4, 2:5] = (window == window.median()).float().view(3, 3)
    assert torch.equal(gradient, expected)


class TestResizePad:
    images = torch.ones(300, 1, 10, 20)

    def boxes(self, draw, **settings):
        """Top, bottom, left and right of each white image on its black ground, both ends included."""
        shown = ResizePad(**{"low": 0.5, **settings})(self.images, draw)[:, 0]
        assert set(shown.unique().tolist()) <= {0.0, 1.0}
        rows, columns = shown.amax(2), shown.amax(1)
        ends = [(side.argmax(1), side.shape[1] - 1 - side.flip(1).argmax(1)) for side in (rows, columns)]
        return torch.stack([*ends[0], *ends[1]], 1)

    def test_every_size_and_place_occurs(self):
        top, bottom, left, right = self.boxes(Draw("report", 0)).T
        assert set((bottom - top + 1).tolist()) == set(range(5, 11))
        assert set((right - left + 1).tolist()) == set(range(10, 21))
        assert {0, 5} <= set(top.tolist()) <= set(range(6))
        assert {0, 10} <= set(left.tolist()) <= set(range(11))
        # uniform: 6 sizes, 50 images each, give or take 4 standard deviations
        counts = torch.bincount(bottom - top + 1)[5:]
        assert ((counts - 50).abs() < 4 * (300 * 1 / 6 * 5 / 6) ** 0.5).all()

    def test_a_draw_is_a_function_of_seed_purpose_number_and_id(self):
        draw = Draw("report", 1)
        same = self.boxes(draw)
        assert torch.equal(same, self.boxes(draw))
        for other in (self.boxes(Draw("report", 2)), self.boxes(Draw("attack", 1)), self.boxes(draw, seed=1)):
            assert (same != other).any(1).float().mean() > 0.8

    def test_calls_without_a_draw_differ(self):
        defense = ResizePad(low=0.5)
        first, second = defense(self.images), defense(self.images)
        assert not torch.equal(first, second)
        assert torch.equal(first, ResizePad(low=0.5)(self.images))

    def test_low_1_is_the_identity(self):
        images = random_images((3, 3, 8, 8))
        assert torch.equal(ResizePad(low=1)(images), images)

    def test_the_gradient_is_that_of_its_draw(self):
        images, draw = random_images((2, 1, 6, 6)).double(), Draw("attack", 3)
        defense = ResizePad(low=0.5)
        assert torch.autograd.gradcheck(lambda x: defense(x, draw), images.requires_grad_(True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JPEG(quality=0), "defense.quality is 0; it must be an integer >= 1 and <= 100"),
        (lambda: JPEG(quality=75.5), "defense.quality is 75.5"),
        (lambda: JPEG(quality=75).check((2, 8, 8)), "1 or 3 channels; these have 2"),
        (lambda: BitDepth(bits=0), "defense.bits is 0; it must be an integer >= 1 and <= 8"),
        (lambda: BitDepth(bits=9), "defense.bits is 9"),
        (lambda: Median(size=4), "defense.size is 4; it must be odd"),
        (lambda: Median(size=1), "defense.size is 1; it must be an integer >= 3"),
        (lambda: Median(size=9).check((1, 4, 20)), "at most 7, the image being 4 x 20"),
        (lambda: Median(size=9)(torch.rand(1, 1, 4, 20)), "at most 7"),
        (lambda: ResizePad(low=0), "defense.low is 0; it must be a number > 0 and <= 1"),
        (lambda: ResizePad(low=1.1), "defense.low is 1.1"),
        (lambda: ResizePad(low=0.5, seed=-1), "defense.seed is -1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert message in str(error.value)


@pytest.mark.parametrize(
    "argument", ["jpeg defense.quality=101", "bit_depth defense.bits=0", "median defense.size=2"]
)
def test_bad_settings_on_the_command_line(vqexp, argument):
    status, _, err = vqexp("scale=smoke", *f"defense={argument}".split())
    assert status == 2
    assert err.startswith("vqexp: defense.")
    assert err.count("\n") == 1


def test_the_largest_median_window_fits():
    assert Median(size=7)(torch.rand(1, 1, 4, 20)).shape == (1, 1, 4, 20)


# What breaks them, and what does not.

EPS = 0.3
STE, EXACT = WhiteBox(gradient="ste"), WhiteBox(gradient="exact")


@pytest.fixture(scope="module")
def attacked(digit_images, digit_classifier):
    """Accuracy of a defended classifier on 60 digits, natural and under the adversary's PGD."""
    images, labels = digit_images.pixels(slice(60)), digit_images.labels[:60]

    def accuracies(defense: Defense, adversary):
        adversary.check(defense)
        view = adversary.view(digit_classifier, defense)
        found = PGD(eps=EPS, steps=20, step_size=EPS / 8).run(view, images, labels, 0)
        point = found.images if found.candidates is None else found.candidates[-1]
        model = defend(digit_classifier, defense)
        with torch.no_grad():
            return [(model(x).argmax(1) == labels).float().mean().item() for x in (images, point)]

    return accuracies


@pytest.mark.parametrize(
    ("name", "adversary"),
    [
        ("jpeg", STE),
        ("bit_depth", STE),
        ("median", EXACT),
        ("resize_pad", WhiteBox(gradient="exact", samples=3)),
        ("detached", STE),
        ("saturated", Oblivious(cost="free")),
    ],
)
def test_an_attacker_who_knows_it_breaks_it(attacked, name, adversary):
    defense = ResizePad(low=0.8) if name == "resize_pad" else DEFENSES[name]
    natural, robust = attacked(defense, adversary)
    assert natural > (0.35 if name == "median" else 0.8)  # a window of 3 x 3 is much of an 8 x 8 digit
    assert robust < 0.05


@pytest.mark.parametrize("name", ["bit_depth", "detached", "saturated"])
def test_a_masked_gradient_is_zero_and_misleads_the_attack(attacked, digit_images, digit_classifier, name):
    images, labels = digit_images.pixels(slice(60)), digit_images.labels[:60]
    view = EXACT.view(digit_classifier, DEFENSES[name])
    for loss in LOSSES.values():
        gradient, _ = view.gradient(images, labels, loss)
        assert torch.count_nonzero(gradient) == 0
    natural, robust = attacked(DEFENSES[name], EXACT)
    assert robust > natural - 0.2  # some of it is lost to the random start


def test_controls_change_no_prediction(digit_images, digit_classifier):
    images = digit_images.pixels(slice(100))
    with torch.no_grad():
        logits = digit_classifier(images)
        assert torch.equal(defend(digit_classifier, Detached())(images), logits)
        saturated = defend(digit_classifier, Saturated())(images)
    assert torch.equal(saturated.argmax(1), logits.argmax(1))
    assert set(saturated.unique().tolist()) == {0.0, 1e6}


@pytest.mark.parametrize("name", ["jpeg", "bit_depth", "median", "resize_pad", "detached"])
def test_straight_through_keeps_the_forward_pass(name):
    defense, images, draw = (
        DEFENSES[name],
        random_images((4, 1, 8, 8)).requires_grad_(True),
        Draw("attack", 5),
    )
    result = StraightThrough(defense)(images, draw)
    assert torch.equal(result, defense(images, draw))
    (gradient,) = torch.autograd.grad((result * torch.arange(64.0).view(8, 8)).sum(), images)
    assert torch.equal(gradient, torch.arange(64.0).view(8, 8).expand_as(images))


@pytest.mark.parametrize(
    ("defense", "adversary", "reason"),
    [
        (DEFENSES["jpeg"], EXACT, "JPEG has none; choose ste"),
        (DEFENSES["saturated"], STE, "acts on more than f's input; choose exact"),
        (DEFENSES["median"], WhiteBox(gradient="ste", samples=5), "all draws of this defense are the same"),
    ],
)
def test_senseless_adversaries_are_refused(defense, adversary, reason):
    with pytest.raises(SenselessError, match=reason):
        adversary.check(defense)
