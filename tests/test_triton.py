"""The quantizers by Triton give what they give by torch, on the same noise."""

import pytest
import torch
from sklearn.datasets import load_sample_images

from vqexp.core.draws import PURPOSES, Draw, Streams
from vqexp.core.philox import CounterStreams
from vqexp.defenses import PRD, RandDisc, SwRD
from vqexp.defenses.vq import kmeans

pytest.importorskip("triton")

from vqexp.defenses.vq.backends import triton
from vqexp.defenses.vq.kernels.launch import Tuning

NOISE = dict(sigma=8 / 255, tau=8 / 255, seed=3, max_steps=8)
QUANTIZERS = {
    "swrd": SwRD(s=3, k=10, beta=2, **NOISE),
    "swrd even": SwRD(s=2, k=5, beta=0.1, **{**NOISE, "sigma": 4, "tau": 6}, pixel_max=255),
    "swrd without noise": SwRD(s=3, k=4, beta=5, **{**NOISE, "sigma": 0, "tau": 0}),
    "swrd of single pixels": SwRD(s=1, k=4, beta=5, **NOISE),
    "prd padded": PRD(s=3, k=7, **NOISE),
    "prd": PRD(s=2, k=20, **NOISE, init="k-means++"),
    "randdisc": RandDisc(k=6, **NOISE),
    "starts": SwRD(s=2, k=4, beta=1, **{**NOISE, "max_steps": 0}),
}


class Counted(Streams):
    """Streams that are the GPU's on every device."""

    def __init__(self, seed, draw, device):
        self.counted = CounterStreams(seed, PURPOSES[draw.purpose], draw.place, draw.ids, draw.number, device)


@pytest.fixture
def best(triton_device, monkeypatch):
    """The backend, beside a torch path that sees the same noise."""
    monkeypatch.setattr("vqexp.defenses.vq.quantizer.Streams", Counted)
    monkeypatch.setattr("vqexp.defenses.vq.backends.triton.Streams", Counted)
    return triton.Best()


def pictures(device, *shape):
    """Smooth random images with a few objects, so that clusters are well apart."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(*shape[:2], 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, shape[2:], mode="bilinear").to(device)


@pytest.mark.filterwarnings(
    "ignore:invalid value:RuntimeWarning"
)  # beyond the image, where nothing is stored
@pytest.mark.parametrize("name", QUANTIZERS)
def test_images_are_those_of_torch(best, triton_device, name):
    best.tuning = Tuning(rows=32)
    images = pictures(triton_device, 3, 3 if "swrd" in name else 1, 11, 14)
    draw = Draw("report", torch.tensor([4, 5, 6]), torch.tensor([8, 2, 2**40]))
    expected = QUANTIZERS[name]._quantize(images, draw)
    torch.testing.assert_close(best.forward(QUANTIZERS[name], images, draw), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("n", "d", "k", "max_steps"), [(130, 27, 17, 30), (64, 3, 5, 1), (70, 16, 20, 0), (70, 48, 5, 3)]
)
def test_k_means_is_that_of_torch(best, triton_device, n, d, k, max_steps):
    """Centers, labels, and a center that no point takes."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(2, n, d, generator=generator).to(triton_device)
    starts = points[:, :k].clone()
    starts[:, 3] = 9.0
    centers, labels = best.lloyd(points, starts, max_steps)
    expected = kmeans.lloyd(points, starts, max_steps)
    assert torch.equal(labels, expected[1])
    assert (labels != 3).all()
    torch.testing.assert_close(centers, expected[0], rtol=0, atol=1e-6)


def test_the_first_of_equally_near_centers(best, triton_device):
    points = torch.tensor([0.0, 1.0, 2.0, 3.0], device=triton_device).view(1, 4, 1)
    centers = torch.tensor([2.0, 0.0, 2.0, 0.0], device=triton_device).view(1, 4, 1)
    assert best.lloyd(points, centers, 1)[1].tolist() == [[1, 0, 0, 0]]


def test_what_it_refuses(best):
    assert best.refusal(900, 27, 25, torch.float32) is None
    assert "not in float64" in best.refusal(900, 27, 25, torch.float64)
    assert "fewer than 200 centers of 48" in best.refusal(900, 48, 200, torch.float32)
    assert "fewer than 2 centers of 192" in best.refusal(900, 192, 2, torch.float32)


def test_what_it_leaves_to_torch(best, triton_device):
    class Own(SwRD):
        """Might cut its patches otherwise."""

    images, draw = pictures(triton_device, 1, 1, 8, 8), Draw().resolve(1)
    assert best.forward(Own(s=2, k=2, beta=1, **NOISE), images, draw) is None
    assert best.forward(SwRD(s=2, k=2, beta=1, restarts=2, **NOISE), images, draw) is None


@pytest.mark.gpu
@pytest.mark.parametrize(("size", "k"), [(32, 25), (224, 30)])
def test_photographs_on_a_gpu(size, k):
    """As torch in float64, until rounding decides a label; k-means then ends elsewhere, and as well."""
    images = load_sample_images().images
    whole = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2).cuda() / 255
    images = torch.nn.functional.interpolate(whole, (size, size), mode="area")
    for max_steps in (1, 100):
        quantizer = SwRD(s=3, k=k, beta=2, sigma=4 / 255, tau=4 / 255, max_steps=max_steps)
        found, expected = (quantizer(x, Draw("report", 3)).double() for x in (images, images.double()))
        assert max_steps > 1 or ((found - expected).abs() > 1e-4).double().mean() < 0.01
        distortions = [(one - images).square().mean().item() for one in (found, expected)]
        assert distortions[0] == pytest.approx(distortions[1], rel=0.01)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_flat_image_is_rounded_less_than_by_torch(best, triton_device):
    """Far from zero float32 cannot tell near centers apart, unless the mean is taken off."""
    images = 0.9 + 0.01 * pictures(triton_device, 2, 3, 12, 12)
    quantizer, draw = SwRD(s=3, k=10, beta=2, sigma=0.01, tau=0.01), Draw().resolve(2)
    expected = quantizer._quantize(images.double(), draw).float()
    torch.testing.assert_close(best.forward(quantizer, images, draw), expected, rtol=0, atol=1e-5)


@pytest.mark.gpu
def test_gradients_are_those_of_torch():
    images = pictures("cuda", 4, 3, 32, 32).requires_grad_()
    gradients = [
        torch.autograd.grad(
            SwRD(s=3, k=10, beta=2, **NOISE, backend=name)(images, Draw()).square().sum(), images
        )
        for name in ("triton", "torch")
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)
