"""PSNR and SSIM against formulas written out, and what a run makes of them."""

import math

import pytest
import torch
from inner import InnerNoise
from local_run import LocalRun, setup
from torch import nn
from torch.nn.functional import conv2d, pad

from vqexp import results
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import PRD, Defense, Median
from vqexp.metrics import Denoising
from vqexp.metrics.denoising import removed, similarity

X = torch.rand(5, 3, 16, 20, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(X.shape, generator=torch.Generator().manual_seed(1)) * 0.1
LABELS = torch.zeros(5, dtype=torch.int64)


def ssim(a, b):
    """Wang et al. 2004, for one image (C, H, W): an 11 x 11 Gaussian window, borders reflected."""
    window = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
    window = (window / window.sum()).double()
    kernel = (window[:, None] * window).expand(1, 1, -1, -1)

    def mean(image):
        return conv2d(pad(image.unsqueeze(1), (5, 5, 5, 5), mode="reflect"), kernel)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return (((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()


def test_both_by_hand():
    noisy = (X + NOISE).clamp(0, 1)
    found = similarity(noisy, X)
    psnr = -10 * (noisy - X).square().mean((1, 2, 3)).log10()
    torch.testing.assert_close(found["psnr"], psnr)
    by_hand = torch.stack([ssim(a, b) for a, b in zip(noisy.double(), X.double(), strict=True)])
    torch.testing.assert_close(found["ssim"].double(), by_hand, atol=1e-4, rtol=0)


def test_of_equal_images():
    same = similarity(X, X)
    assert same["psnr"].isnan().all()
    torch.testing.assert_close(same["ssim"], torch.ones(5))


class Halve(Defense):
    """Halves the distance to the image in `clean` in draws with an even number, else leaves it."""

    random = True

    def __init__(self, clean):
        super().__init__()
        self.clean = clean

    def forward(self, images, draw=None):
        clean = self.clean[draw.ids - 100]
        even = torch.as_tensor(draw.number).expand(len(images)) % 2 == 0
        return torch.where(even.view(-1, 1, 1, 1), (images + clean) / 2, images)


def test_means_over_images_and_draws():
    """Half the noise is 6.02 dB; two of three draws halve it. Image 2 was not attacked."""
    adversarial = X + NOISE
    adversarial[2] = X[2]
    run = LocalRun(nn.Flatten(), X, LABELS, adversarial=adversarial, defense=Halve(X), size=2)
    found = Denoising(runs=3).measure(run)
    before, after = (found.estimates[f"psnr_{kind}"] for kind in ("undefended", "defended"))
    assert after.mean - before.mean == pytest.approx(2 / 3 * 20 * math.log10(2), abs=1e-4)
    assert (before.runs, before.n, after.runs, after.n, after.unit) == (1, 4, 3, 4, "dB")
    low, high = after.ci95
    assert low < after.mean < high
    assert found.counts["psnr_defended"].shape == (5, 3)
    assert found.estimates["ssim_undefended"].mean < found.estimates["ssim_defended"].mean < 1
    assert found.estimates["psnr_natural"].n == 0  # this defense gives x itself
    share = found.estimates["removed"]  # half of it in two of three draws
    assert share.mean == pytest.approx(1 / 3, abs=1e-5)
    assert (share.n, share.runs, share.unit) == (4, 3, "fraction")
    assert found.counts["removed"][2].isnan().all()


def test_the_share_removed_by_hand():
    perturbation = NOISE.clone()
    assert (removed(X + NOISE, X, perturbation).abs() < 1e-5).all()  # an identity removes nothing
    assert (removed(X, X, perturbation) == 1).all()  # a constant removes all
    torch.testing.assert_close(removed(X + 0.25 * NOISE, X, perturbation), torch.full((5,), 0.75))
    assert (removed(X + 2 * NOISE, X, perturbation) < 0).all()
    across = torch.randn(X.shape, generator=torch.Generator().manual_seed(2))
    along = (across * NOISE).flatten(1).sum(1) / NOISE.square().flatten(1).sum(1)
    across = across - along.view(-1, 1, 1, 1) * NOISE
    torch.testing.assert_close(removed(X + across, X, perturbation), torch.ones(5), atol=1e-4, rtol=0)


def test_the_chunks_do_not_matter(digit_images):
    x, labels = digit_images.pixels(slice(0, 5)), digit_images.labels[:5]
    found = []
    for size in (2, 5):
        run = LocalRun(
            nn.Flatten(),
            x,
            labels,
            adversarial=1 - x,
            defense=PRD(s=2, k=4, sigma=0.1, tau=0.1),
            size=size,
        )
        found.append(Denoising(runs=6).measure(run).counts["psnr_defended"])
    torch.testing.assert_close(*found)
    assert (found[0].std(1) > 0).all()


@pytest.mark.parametrize("defense", [PRD(s=2, k=4, sigma=0.1, tau=0.1), Median(size=3)])
def test_the_two_quantized_images_are_compared_under_different_draws(defense):
    """Of equal images, only a random defense makes different ones."""
    run = LocalRun(nn.Flatten(), X, LABELS, adversarial=X.clone(), defense=defense, size=5)
    found = Denoising(runs=3).measure(run).counts
    assert found["psnr_between"].shape == ((5, 3) if defense.random else (5, 1))
    assert found["psnr_between"].isnan().all() == (not defense.random)
    torch.testing.assert_close(found["psnr_natural"], found["psnr_defended"], equal_nan=True)


def test_by_hand_between_the_two_quantized():
    adversarial = (X + NOISE).clamp(0, 1)
    median = Median(size=3)
    run = LocalRun(nn.Flatten(), X, LABELS, adversarial=adversarial, defense=median, size=5)
    found = Denoising(runs=1).measure(run).counts
    by_hand = similarity(median(adversarial), median(X))
    torch.testing.assert_close(found["ssim_between"].squeeze(1), by_hand["ssim"])


def test_senseless_runs_are_refused():
    metric = Denoising(runs=2)
    metric.check(setup())
    inside = InnerNoise()
    with pytest.raises(SenselessError, match="attack"):
        metric.check(setup(perturbs=False))
    with pytest.raises(SenselessError, match="more than f's input"):
        metric.check(setup(inside))
    with pytest.raises(ConfigError, match=r"metric\.runs is 0; it must be an integer >= 1"):
        Denoising(runs=0)


def test_from_the_command_line(vqexp):
    status, out, _ = vqexp("metric=denoising", "scale=smoke", "training.epochs=1")
    assert status == 0
    assert "PSNR of the quantized A(x)" in out
    assert " dB" in out


def test_a_defense_that_knows_no_draws_is_measured_the_same_twice(vqexp, tmp_path):
    found = []
    for store in ("first", "second"):
        torch.rand(3)  # the global generator stands elsewhere
        settings = ("scale=smoke", "training.epochs=1", "defense._target_=local_run.Noise")
        status, _, _ = vqexp("metric=denoising", *settings, store=tmp_path / store)
        assert status == 0
        (record,) = results.records(tmp_path / store)
        found.append(record.metrics)
    assert found[0] == found[1]
    assert found[0]["psnr_natural"].mean == pytest.approx(20, abs=0.5)  # noise of 0.1
    assert found[0]["psnr_natural"].std > 0
