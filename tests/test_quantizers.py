"""pRD, RandDisc and swRD: against literal transcriptions, and the properties that users rely on."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from algorithm2 import prd, swrd
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import ProfilerActivity, profile

import vqexp
from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import ConfigError
from vqexp.defenses import PRD, Defense, NoDefense, RandDisc, SwRD
from vqexp.defenses.vq import kmeans
from vqexp.defenses.vq.tiles import Tiles

NOISE = 4 / 255
CIFAR = dict(sigma=NOISE, tau=NOISE)
SWRD = SwRD(s=3, k=25, beta=2.0, **CIFAR)
FAMILY = [
    SWRD,
    SwRD(s=2, k=10, sigma=0, tau=0, beta=2.0),
    PRD(s=2, k=50, **CIFAR),
    PRD(s=3, k=25, sigma=0, tau=0, init="k-means++", restarts=2),
    RandDisc(k=10, **CIFAR),
]
every_quantizer = pytest.mark.parametrize("q", FAMILY, ids=lambda q: f"{type(q).__name__}-{q.s}-{q.k}")


def random_images(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lines_1_to_3(q, images, draw):
    """Patches, centers and the noise omega that `q` takes for `draw`, from its public pieces."""
    streams = Streams(q.seed, draw.resolve(len(images)), images.device)
    patches = q.patches(images)
    centers = q.codebook(patches, streams)
    omega = streams.normal(patches.shape[1:], patches.dtype) if q.tau else torch.zeros_like(patches)
    return patches, centers, omega * (q.tau / q.pixel_max)


# Algorithms 1 and 2, literally


@st.composite
def small_images(draw):
    """An image in float64, a patch size and a k that fit it, and a draw."""
    C, H, W = draw(st.sampled_from([1, 3])), draw(st.integers(3, 10)), draw(st.integers(3, 10))
    s = draw(st.integers(1, 3))
    image = random_images(1, C, H, W, seed=draw(st.integers(0, 2**32)), dtype=torch.float64)
    return image, s, draw(st.integers(1, -(-H // s) * -(-W // s))), Draw("report", draw(st.integers(0, 99)))


noises = st.sampled_from([0, 4 / 255, 0.3])
scales = st.sampled_from([1, 255])


@settings(max_examples=40)
@given(small_images(), noises, noises, scales, st.sampled_from(kmeans.STARTS))
def test_prd_is_algorithm_1(case, sigma, tau, pixel_max, init):
    image, s, k, draw = case
    q = PRD(s=s, k=k, sigma=sigma * pixel_max, tau=tau * pixel_max, pixel_max=pixel_max, init=init)
    _, centers, omega = (part[0].numpy() * pixel_max for part in lines_1_to_3(q, image, draw))
    expected = prd(image[0].numpy() * pixel_max, centers, omega, s) / pixel_max
    np.testing.assert_allclose(q(image, draw)[0].numpy(), expected, rtol=0, atol=1e-9)


@settings(max_examples=40)
@given(small_images(), noises, noises, scales, st.floats(0, 1) | st.sampled_from([0, 0.002, 1]))
def test_swrd_is_algorithm_2(case, sigma, tau, pixel_max, sharpness):
    image, s, _, draw = case
    k = min(8, (image.shape[2] - s + 1) * (image.shape[3] - s + 1))
    beta = sharpness * (1e3 if pixel_max == 1 else 1)
    q = SwRD(s=s, k=k, sigma=sigma * pixel_max, tau=tau * pixel_max, pixel_max=pixel_max, beta=beta)
    _, centers, omega = (part[0].numpy() * pixel_max for part in lines_1_to_3(q, image, draw))
    expected = swrd(image[0].numpy() * pixel_max, centers, omega, s, beta) / pixel_max
    np.testing.assert_allclose(q(image, draw)[0].numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("pixel_max", "beta"), [(1, 0), (1, 2), (1, 1e3), (255, 0), (255, 0.1), (255, 1)])
def test_swrd_is_algorithm_2_on_real_images(cifar10, mnist, pixel_max, beta):
    noise = NOISE * pixel_max
    q = SwRD(s=3, k=10, sigma=noise, tau=noise, beta=beta, pixel_max=pixel_max)
    for images in (cifar10[:3, :, 8:18, 8:18].double(), mnist[:3, :, 9:19, 9:19].double()):
        found = q(images, Draw("report")).numpy()
        _, centers, omega = (part.numpy() * pixel_max for part in lines_1_to_3(q, images, Draw("report")))
        for i in range(3):
            expected = swrd(images[i].numpy() * pixel_max, centers[i], omega[i], 3, beta) / pixel_max
            np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-9)


# Numbers

PAPER_SETTINGS = [
    ("mnist", dict(s=2, k=2, beta=5, **CIFAR)),
    ("cifar10", dict(s=3, k=25, beta=2, **CIFAR)),
    ("cifar10", dict(s=3, k=25, beta=0.1, sigma=4, tau=4, pixel_max=255)),
    ("cifar10", dict(s=3, k=25, beta=0.5, sigma=4, tau=4, pixel_max=255)),
    ("imagenet", dict(s=3, k=30, beta=0.1, sigma=4, tau=4, pixel_max=255, max_steps=5)),
]


@pytest.mark.parametrize(("dataset", "values"), PAPER_SETTINGS)
def test_float32_is_close_to_float64(dataset, values, request):
    """With the same centers and assignments."""
    q = SwRD(**values)
    images = request.getfixturevalue(dataset)[: 1 if dataset == "imagenet" else 50]
    patches, centers, omega = lines_1_to_3(q, images, Draw("report"))
    quantized = kmeans.gather_rows(centers, kmeans.nearest(patches + omega, centers))
    exact = q.reassemble(quantized.double(), q.patches(images.double()), images.shape[-2:])
    found = q(images, Draw("report"))
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-3)


@every_quantizer
def test_output_is_within_the_range_of_the_centers(q, cifar10):
    images = cifar10[:50]
    _, centers, _ = lines_1_to_3(q, images, Draw("attack"))
    result = q(images, Draw("attack"))
    assert (result.amax((1, 2, 3)) <= centers.amax((1, 2)) + 1e-6).all()
    assert (result.amin((1, 2, 3)) >= centers.amin((1, 2)) - 1e-6).all()
    assert result.shape == images.shape
    assert 0.01 < (result - images).abs().mean() < 0.1  # it quantizes, and what comes out is the image


@pytest.mark.parametrize("init", kmeans.STARTS)
@pytest.mark.parametrize(("cls", "n"), [(PRD, 12), (SwRD, 8 * 6)])
def test_as_many_centers_as_patches_reproduce_the_image(cls, n, init):
    """10 x 8 pixels and s = 3: pRD pads."""
    images = random_images(5, 3, 10, 8)
    beta = {"beta": 1.0} if cls is SwRD else {}
    q = cls(s=3, k=n, sigma=0, tau=0, init=init, **beta)
    torch.testing.assert_close(q(images), images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("start", [{}, {"init": "k-means++"}])
def test_prd_on_single_pixels_is_randdisc(cifar10, start):
    values = dict(k=10, seed=3, **CIFAR)
    prd_1 = PRD(s=1, **start, **values)
    assert torch.equal(prd_1(cifar10, Draw("select", 2)), RandDisc(**values)(cifar10, Draw("select", 2)))


@pytest.mark.parametrize("init", kmeans.STARTS)
@pytest.mark.parametrize("cls", [PRD, SwRD])
@pytest.mark.parametrize("noise", [0, NOISE])
def test_flat_images_and_few_different_patches(cls, init, noise):
    """Constant images, and two-valued ones with fewer different patches than centers."""
    flat = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 1, 12, 12)
    halves = torch.cat([torch.zeros(1, 1, 12, 6), torch.ones(1, 1, 12, 6)], -1)
    images = torch.cat([flat, halves])
    beta = {"beta": 1e3} if cls is SwRD else {}
    result = cls(s=2, k=20, sigma=noise, tau=noise, init=init, **beta)(images)
    torch.testing.assert_close(result[:3], images[:3], rtol=0, atol=4 * noise + 1e-6)
    if init == "k-means++":  # finds both values; random starts may all lie in one half
        torch.testing.assert_close(result, images, rtol=0, atol=4 * noise + 1e-6)
    assert result.isfinite().all()


def test_other_dtypes():
    for dtype in (torch.float64, torch.bfloat16):
        result = PRD(s=2, k=4, sigma=0, tau=0)(random_images(2, 3, 8, 8).to(dtype))
        assert result.dtype == dtype
        assert result.isfinite().all()


def test_the_best_restart_counts(cifar10):
    images = cifar10[:50]
    found = []
    for restarts in (1, 2, 8):
        q = PRD(s=2, k=10, sigma=0, tau=0, restarts=restarts)
        patches, centers, _ = lines_1_to_3(q, images, Draw())
        found.append(kmeans.inertia(patches, centers))
    assert (found[1] <= found[0]).all()
    assert (found[2] <= found[1]).all()
    assert found[2].sum() < 0.99 * found[0].sum()


# Randomness, batches, memory


@every_quantizer
def test_a_result_does_not_depend_on_the_batch(q, cifar10):
    """Neither on its size nor on its order: all but one assignment in 1e5, other pixels within 1e-6."""
    cifar10 = cifar10[:40]
    expected = q(cifar10, Draw("report", 3))
    for size in (1, 7, 25):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(size))
        found = torch.empty_like(expected)
        for rows in order.split(size):
            found[rows] = q(cifar10[rows], Draw("report", 3, ids=rows))
        changed = ((found - expected).abs() > 1e-6).any(1).sum()
        assert changed <= 1e-5 * 40 * q.number_of_patches(32, 32) * q.s**2


@every_quantizer
def test_a_memory_limit_changes_nothing(q, cifar10, monkeypatch):
    results = []
    for limit in (0.001, 0.5, 1000):
        monkeypatch.setattr(q, "memory_limit", limit)
        results.append(q(cifar10[:10], Draw("train", torch.arange(10))))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("cls", [PRD, SwRD])
def test_draws_purposes_seeds_and_ids_differ(cls, cifar10):
    beta = {"beta": 2.0} if cls is SwRD else {}
    values = dict(s=2, k=10, **CIFAR, **beta)
    image, ids = cifar10[:1], torch.tensor([7])
    results = [
        cls(seed=seed, **values)(image, Draw(purpose, number, ids + shift))
        for seed, purpose, number, shift in [
            (0, "attack", 0, 0),
            (1, "attack", 0, 0),
            (0, "report", 0, 0),
            (0, "attack", 1, 0),
            (0, "attack", 0, 1),
        ]
    ]
    for i, result in enumerate(results):
        assert all((result - other).abs().mean() > 1e-3 for other in results[:i])
    assert torch.equal(results[0], cls(seed=0, **values)(image, Draw("attack", 0, ids)))


def test_a_draw_number_for_each_image(cifar10):
    numbers, ids = torch.tensor([4, 0, 4]), torch.tensor([1, 1, 0])
    together = SWRD(cifar10[ids], Draw("train", numbers, ids))
    for i in range(3):
        alone = SWRD(cifar10[ids[i : i + 1]], Draw("train", int(numbers[i]), ids[i : i + 1]))
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-6)


def test_calls_without_a_draw_are_counted(cifar10):
    one, other = (PRD(s=2, k=10, **CIFAR) for _ in range(2))
    first, second = one(cifar10[:5]), one(cifar10[:5])
    assert (first - second).abs().mean() > 1e-3
    assert torch.equal(other(cifar10[:5]), first)
    other(cifar10[:5], Draw("report"))  # does not count
    assert torch.equal(other(cifar10[:5]), second)


def peak_memory(work, path):
    """MiB that torch has allocated at most during `work()`, beyond what was there."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    profiler.export_chrome_trace(str(path))
    events = json.loads(path.read_text())["traceEvents"]
    return max(event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]") / 2**20


@pytest.mark.parametrize(
    "q",
    [
        SwRD(s=3, k=30, sigma=4, tau=4, beta=0.1, pixel_max=255, max_steps=2),
        SwRD(s=3, k=4, sigma=4, tau=4, beta=0.1, pixel_max=255, max_steps=2, init="k-means++"),
        PRD(s=2, k=50, sigma=4, tau=4, pixel_max=255, max_steps=2),
        RandDisc(k=4, sigma=4, tau=4, pixel_max=255, max_steps=2),
    ],
    ids=lambda q: f"{type(q).__name__}-{q.s}-{q.k}-{q.init}",
)
def test_a_batch_of_large_images_stays_within_the_memory_limit(q, tmp_path, imagenet):
    """In torch, which takes more memory than compiled code."""
    q.backend, imagenet = "torch", imagenet[:, :, :140, :140].contiguous()
    q.memory_limit = None  # one image, not in tiles
    one = peak_memory(lambda: q(imagenet[:1], Draw()), tmp_path / "one")
    results = imagenet.nbytes / 2**20  # not working memory
    for images in (1, 2.5):
        q.memory_limit = images * one
        peak = peak_memory(lambda: q(imagenet, Draw()), tmp_path / "four")
        assert peak <= 1.5 * q.memory_limit + one  # what is promised
        assert peak <= max(q.memory_limit, one) + results  # and what the estimate gives
    q.memory_limit = 16 * one  # one image takes down to a third of what is reckoned
    assert peak_memory(lambda: q(imagenet, Draw()), tmp_path / "all") > 3 * one  # it is put to use


# Gradients


@pytest.mark.parametrize(
    "q",
    [
        PRD(s=2, k=5, sigma=0.05, tau=0.05),
        PRD(s=3, k=5, sigma=0.05, tau=0.05, restarts=3),
        RandDisc(k=5, sigma=0.05, tau=0.05),
        SwRD(s=2, k=5, sigma=0.05, tau=0.05, beta=5.0),
        SwRD(s=3, k=5, sigma=10, tau=10, beta=0.001, pixel_max=255, max_steps=2),
        SwRD(s=2, k=5, sigma=0.05, tau=0.05, beta=5.0, max_steps=0),
    ],
    ids=lambda q: f"{type(q).__name__}-{q.s}-{q.max_steps}",
)
def test_gradient_is_that_of_finite_differences(q, monkeypatch):
    """Of a random linear functional of q(x), along a random direction that changes no assignment."""
    assignments = []
    nearest = kmeans.nearest

    def recorded(points, centers):
        assignments.append(nearest(points, centers))
        return assignments[-1]

    monkeypatch.setattr(kmeans, "nearest", recorded)
    images, functional, direction = (random_images(4, 3, 8, 8, seed=i, dtype=torch.float64) for i in range(3))
    direction -= 0.5
    step = 1e-6 * direction

    def value(at):
        assignments.clear()
        result = (functional * q(at, Draw("attack"))).sum()
        return result, [labels.clone() for labels in assignments]

    images.requires_grad_()
    result, labels = value(images)
    (gradient,) = torch.autograd.grad(result, images)
    (above, labels_above), (below, labels_below) = (
        value(images.detach() + step),
        value(images.detach() - step),
    )
    for labels_there in (labels_above, labels_below):
        assert all(torch.equal(a, b) for a, b in zip(labels, labels_there, strict=True))
    slope = ((above - below) / 2e-6).item()
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5)
    assert abs(slope) > 0.1


# Bad values

GOOD = dict(s=2, k=4, sigma=0.1, tau=0.1, beta=1.0)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("k", 0, ">= 1"),
        ("k", 2.5, "an integer"),
        ("s", 0, ">= 1"),
        ("s", "two", "an integer"),
        ("sigma", -0.1, ">= 0"),
        ("sigma", float("nan"), ">= 0"),
        ("sigma", "4/255", "a number >= 0"),
        ("tau", -1, ">= 0"),
        ("tau", float("inf"), ">= 0"),
        ("beta", -1e-9, ">= 0"),
        ("pixel_max", 7, "1, 255"),
        ("init", "kmeans", "random, k-means++"),
        ("seed", -1, ">= 0"),
        ("max_steps", -1, ">= 0"),
        ("restarts", 0, ">= 1"),
        ("memory_limit", 0, "> 0"),
    ],
)
def test_bad_values_are_refused(name, value, allowed):
    with pytest.raises(ConfigError) as error:
        SwRD(**GOOD | {name: value})
    message = str(error.value)
    assert message.startswith(f"defense.{name} is {value!r}; it must be ")
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (PRD(s=2, k=17, sigma=0, tau=0), r"defense\.k is 17; it must be at most 16, .*2 x 2 .*7 x 8"),
        (SwRD(s=2, k=43, sigma=0, tau=0, beta=1), r"defense\.k is 43; it must be at most 42, .*7 x 8"),
        (PRD(s=8, k=1, sigma=0, tau=0), r"defense\.s is 8; it must be at most 7, .*7 x 8"),
    ],
)
def test_values_that_do_not_fit_the_image_are_refused(q, message):
    with pytest.raises(ConfigError, match=f"^{message}.*$"):
        q(torch.zeros(1, 3, 7, 8))
    with pytest.raises(ConfigError, match=message):
        q.check((3, 7, 8))


def test_the_largest_values_that_fit_are_taken():
    for q in (PRD(s=7, k=2, sigma=0, tau=0), SwRD(s=7, k=2, sigma=0, tau=0, beta=1)):
        assert q(random_images(1, 3, 7, 8)).shape == (1, 3, 7, 8)


# In front of a classifier


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10)).eval()


def test_a_quantizer_goes_in_front_of_a_classifier():
    images = random_images(4, 3, 8, 8)
    f, q = classifier(), PRD(s=2, k=4, **CIFAR)
    defended = vqexp.defend(f, q)
    assert isinstance(defended, nn.Module)
    assert torch.equal(defended(images, Draw("report", 1)), f(q(images, Draw("report", 1))))
    assert not torch.equal(defended(images), defended(images))
    images.requires_grad_()
    defended(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert set(f.parameters()) <= set(defended.parameters())


def test_any_module_on_images_is_a_defense():
    images, f = random_images(4, 3, 8, 8), classifier()
    defended = vqexp.defend(f, nn.Tanh())
    assert torch.equal(defended(images), f(images.tanh()))
    assert torch.equal(defended(images, Draw("report")), defended(images))  # which it does not understand
    assert torch.equal(vqexp.defend(f, NoDefense())(images, Draw("report")), f(images))


def test_a_defense_may_wrap_in_its_own_way():
    class Ensemble(Defense):
        def wrap(self, classifier):
            return nn.Sequential(classifier, nn.Softmax(1))

    images = random_images(4, 3, 8, 8)
    assert torch.allclose(vqexp.defend(classifier(), Ensemble())(images).sum(1), torch.ones(4))


# On a GPU


@pytest.mark.gpu
@every_quantizer
def test_on_cuda(q, cifar10):
    images = cifar10.cuda()
    expected = q(images, Draw("report", 3))
    assert torch.equal(q(images, Draw("report", 3)), expected)
    order = torch.randperm(200)
    found = torch.empty_like(expected)
    for rows in order.split(7):
        found[rows] = q(images[rows], Draw("report", 3, ids=rows))
    assert (((found - expected).abs() > 1e-6).any(1)).float().mean() <= 1e-3
    on_cpu = q(cifar10, Draw("report", 3))
    distortions = [(one - cifar10).square().mean().item() for one in (expected.cpu(), on_cpu)]
    assert distortions[0] == pytest.approx(distortions[1], rel=0.03)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (SwRD, {"s": 3, "k": 9, "beta": 2.0}),
        (SwRD, {"s": 2, "k": 5, "beta": 2.0, "sigma": 0.0, "max_steps": 0}),
        (PRD, {"s": 5, "k": 6, "restarts": 2}),
        (RandDisc, {"k": 7, "tau": 0.0}),
    ],
)
def test_an_image_in_tiles_is_that_of_all_patches_at_once(monkeypatch, backend, kind, settings):
    """Its gradient and its codebook too: with a memory limit that a single image does not fit into."""
    tiles = []
    monkeypatch.setattr(Tiles, "__init__", counted(Tiles.__init__, tiles))
    settings = {"sigma": 4 / 255, "tau": 4 / 255, "backend": backend, **settings}
    whole, tiled = kind(**settings), kind(**settings, memory_limit=0.01)
    draw, pixels = Draw("report", 3, torch.tensor([4, 5])), torch.rand(2, 3, 24, 22)
    weights, found = torch.rand_like(pixels), []
    for quantizer in (whole, tiled):
        images = pixels.clone().requires_grad_()
        output = quantizer(images, draw)
        (gradient,) = torch.autograd.grad((output * weights).sum(), images)
        found.append((quantizer(pixels, draw), output.detach(), gradient, quantizer.codebooks(pixels, draw)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert len(tiles) == 6
    assert min(tiles) > 1


def counted(begin, tiles):
    def init(self, *arguments):
        begin(self, *arguments)
        tiles.append(len(self.rows))

    return init


PEAK = """
import resource, sys, torch
from vqexp.defenses import SwRD
limit, backend = float(sys.argv[1]), sys.argv[2]
def quantizer(limit):
    return SwRD(s=4, k=20, sigma=0.01, tau=0.01, beta=2.0, max_steps=3, memory_limit=limit, backend=backend)
quantizer(0.1)(torch.rand(1, 3, 32, 32))
images = torch.rand(1, 3, 256, 256)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
quantizer(limit)(images)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_the_memory_limit_is_a_cap(backend):
    """All patches at once would take 100 MiB."""
    command = [sys.executable, "-c", PEAK, "16", backend]
    peak = float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert peak <= 1.2 * 16
