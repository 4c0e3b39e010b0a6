"""The compiled k-means and reassembly against the reference in torch, and against scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import ConfigError
from vqexp.core.threads import over
from vqexp.defenses import PRD, RandDisc, SwRD
from vqexp.defenses.vq import backends, kmeans, patches

CPU = torch.device("cpu")
NOISE = 4 / 255
NUMBA, TORCH = backends.load("numba"), backends.load("torch")


def streams(n, seed=0):
    return Streams(seed, Draw(ids=torch.arange(n)), CPU)


def grid_points(rng, B, n, d, levels):
    """Points on a coarse grid, so that all sums and products are exact, and ties are frequent."""
    return torch.from_numpy(rng.integers(0, levels, (B, n, d)).astype(np.float32))


@st.composite
def problems(draw, levels):
    """Points on a grid of at most `levels` values a dimension, k of them to start from, a number of steps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, d = draw(st.integers(1, 700)), draw(st.integers(1, 30))
    k = draw(st.integers(1, min(n, 40)))
    points = grid_points(rng, 2, n, d, draw(st.integers(2, levels)))
    start = torch.stack([one[torch.from_numpy(rng.permutation(n)[:k])] for one in points])
    return points, start, draw(st.sampled_from([0, 1, 2, 7, 100]))


def assert_separated(points, centers, labels, others):
    """Where two labelings differ, rounding decided: both centers are as near as float32 can tell."""
    for one, center, mine, theirs in zip(points, centers, labels, others, strict=True):
        rows = (mine != theirs).nonzero().flatten()
        squares = torch.cdist(one[rows].double(), center.double()).square()
        gap = squares.gather(1, mine[rows, None]) - squares.gather(1, theirs[rows, None])
        assert (gap.abs() <= 1e-5 * (1 + one.square().sum(1).max())).all()


@settings(max_examples=60)
@given(problems(levels=64))
def test_one_assignment_is_the_references(problem):
    """From centers on the grid all distances are exact, and the lowest label wins a tie."""
    points, start, _ = problem
    assert torch.equal(NUMBA.lloyd(points, start, 0)[1], TORCH.lloyd(points.double(), start.double(), 0)[1])


@settings(max_examples=60)
@given(problems(levels=64))
def test_it_ends_where_lloyds_algorithm_does(problem):
    """Its centers are the means of its labels, and at the end each label is of a nearest center."""
    points, start, _ = problem
    centers, labels = NUMBA.lloyd(points, start, 10_000)
    assert torch.equal(centers, kmeans.cluster_means(points, labels, start_or(centers, labels)))
    squares = torch.cdist(points.double(), centers.double()).square()
    own = squares.gather(2, labels.unsqueeze(2)).squeeze(2)
    assert (own <= squares.min(2).values + 1e-6 * (1 + points.square().sum(2))).all()


def start_or(centers, labels):
    """Centers of clusters that are empty stay; the others are not looked at."""
    sizes = torch.nn.functional.one_hot(labels, centers.shape[1]).sum(1)
    return torch.where((sizes > 0).unsqueeze(2), torch.full_like(centers, torch.nan), centers)


@settings(max_examples=60)
@given(problems(levels=64))
def test_leaving_points_out_changes_nothing(problem):
    """Step by step with all distances, in the same arithmetic, gives the same labels and centers."""
    points, start, max_steps = problem
    centers, labels = NUMBA.lloyd(points, start, max_steps)
    by_steps, before = start, None
    for _ in range(max_steps):
        by_steps, now = NUMBA.lloyd(points, by_steps, 1)
        if before is not None and torch.equal(now, before):
            break
        before = now
    if max_steps:
        assert torch.equal(labels, before)
        torch.testing.assert_close(centers, by_steps, rtol=1e-6, atol=0)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 12, 27]), st.integers(1, 60))
def test_noisy_points_are_clustered_as_by_torch_and_scikit_learn(seed, d, k):
    """Where no cluster runs empty and no tie is decided by rounding, all three agree."""
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.random((1, 500, d), np.float32))
    start = points[:, torch.from_numpy(rng.permutation(500)[:k])]
    for steps in (1, 5):
        centers, labels = NUMBA.lloyd(points, start, steps)
        reference, expected = TORCH.lloyd(points.double(), start.double(), steps)
        if torch.equal(labels, expected):
            torch.testing.assert_close(centers.double(), reference, rtol=0, atol=1e-6)
        elif steps == 1:
            assert_separated(points, start, labels, expected)
        if steps == 1 and len(labels.unique()) == k:
            model = KMeans(k, init=start[0].double().numpy(), n_init=1, max_iter=1, tol=0, algorithm="lloyd")
            theirs = model.fit(points[0].double().numpy()).cluster_centers_
            if torch.equal(labels, expected):
                np.testing.assert_allclose(centers[0].numpy(), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("cut", "s", "k"), [(patches.sliding, 3, 25), (patches.disjoint, 2, 50), (patches.disjoint, 1, 10)]
)
def test_real_images_are_clustered_as_by_torch(cifar10, cut, s, k):
    """Rounding decides one assignment in 1e4 at most, and one more where that one leads to others."""
    points = cut(cifar10[:60], s)
    points = points + NOISE * streams(60).normal(points.shape[1:], torch.float32)
    start = kmeans.gather_rows(points, kmeans.starts(points, k, "random", streams(60, seed=1)))
    labels, expected = (backend.lloyd(points, start, 100)[1] for backend in (NUMBA, TORCH))
    assert (labels != expected).any(1).float().mean() <= 0.15
    first, then = (backend.lloyd(points, start, 1)[1] for backend in (NUMBA, TORCH))
    assert (first != then).float().mean() <= 1e-4
    assert_separated(points, start, first, then)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 12), st.sampled_from([2, 256]))
def test_plus_plus_chooses_the_same_points(seed, n, d, levels):
    rng = np.random.default_rng(seed)
    points, k = grid_points(rng, 2, n, d, levels), int(rng.integers(1, min(n, 20) + 1))
    mine, theirs = (each.starts(points, k, "k-means++", streams(2, seed)) for each in (NUMBA, TORCH))
    assert torch.equal(mine, theirs)


def test_plus_plus_on_real_images(cifar10):
    points = patches.disjoint(cifar10[:40], 1)
    points = points + NOISE * streams(40).normal(points.shape[1:], torch.float32)
    mine, theirs = (each.starts(points, 25, "k-means++", streams(40, 1)) for each in (NUMBA, TORCH))
    assert torch.equal(mine, theirs)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 6),
    st.integers(0, 6),
    st.sampled_from([0, 1, 1e4]),
)
def test_a_blend_is_the_references(seed, C, s, more_rows, more_columns, sharpness):
    rng = np.random.default_rng(seed)
    H, W = s + more_rows, s + more_columns
    n = (H - s + 1) * (W - s + 1)
    cut = torch.from_numpy(rng.random((2, n, C * s * s), np.float32))
    similarity = torch.from_numpy(-sharpness * rng.random((2, n), np.float32))
    found, expected = (each.blend_sliding(cut, similarity, s, (H, W)) for each in (NUMBA, TORCH))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


QUANTIZERS = [
    SwRD(s=3, k=25, beta=2.0, sigma=NOISE, tau=NOISE, backend="numba"),
    PRD(s=2, k=50, sigma=NOISE, tau=NOISE, backend="numba"),
    RandDisc(k=10, sigma=NOISE, tau=NOISE, backend="numba"),
]


@pytest.mark.parametrize("q", QUANTIZERS, ids=lambda q: type(q).__name__)
def test_quantized_images_and_gradients_are_those_of_torch(q, cifar10, monkeypatch):
    images, results = cifar10[:30].clone().requires_grad_(), []
    for backend in ("numba", "torch"):
        monkeypatch.setattr(q, "backend", backend)
        with torch.no_grad():
            whole = q(images, Draw("report"))
        found = q(images, Draw("report"))
        torch.testing.assert_close(found, whole, rtol=0, atol=2e-6)
        results.append((whole, torch.autograd.grad(found.square().sum(), images)[0]))
    same = ((results[0][0] - results[1][0]).abs() < 1e-5).flatten(1).all(1)
    assert same.float().mean() >= 0.8  # in the others rounding has decided an assignment
    torch.testing.assert_close(results[0][1][same], results[1][1][same], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads, cifar10):
    q, before = QUANTIZERS[0], torch.get_num_threads()
    expected = q(cifar10[:20], Draw("report"))
    try:
        torch.set_num_threads(threads)
        assert torch.equal(q(cifar10[:20], Draw("report")), expected)
    finally:
        torch.set_num_threads(before)


def test_every_image_is_worked_on_once_and_an_error_is_raised():
    before, done = torch.get_num_threads(), []
    try:
        torch.set_num_threads(4)
        over(100, 2**20, done.append)
        assert sorted(done) == list(range(100))
        with pytest.raises(ZeroDivisionError):
            over(100, 2**20, lambda i: 1 / (i - 50))
    finally:
        torch.set_num_threads(before)


def test_float64_is_left_to_torch():
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    assert PRD(s=2, k=4, sigma=0, tau=0)(images).dtype == torch.float64
    with pytest.raises(ConfigError, match=r"'numba', and it computes in float32, not in float64"):
        PRD(s=2, k=4, sigma=0, tau=0, backend="numba")(images)


def test_without_numba_torch_serves_and_says_so():
    code = """
import sys
sys.modules["numba"] = None
import torch
from vqexp.defenses import PRD
q = PRD(s=2, k=4, sigma=0, tau=0)
q(torch.rand(1, 3, 8, 8))
print(q.computed_by((3, 8, 8), torch.device("cpu")).split()[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "torch\n"
    assert done.stderr.count("\n") == 1
    assert "numba cannot be imported" in done.stderr
