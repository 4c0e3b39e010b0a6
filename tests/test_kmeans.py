"""Our batched k-means against scikit-learn's, image by image, on patches of real images."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from vqexp.core.draws import Draw, Streams
from vqexp.defenses.vq import kmeans, patches

NOISE = 4 / 255
UNTIL_CONVERGED = 10_000

# ten images each: d from 3 to 48, k from 2 to 100, and as many patches a cluster as 2 and as 500
CUTS = [
    (patches.sliding, 1, 2),
    (patches.sliding, 1, 100),
    (patches.disjoint, 1, 30),
    (patches.sliding, 2, 10),
    (patches.disjoint, 2, 50),
    (patches.disjoint, 2, 100),
    (patches.sliding, 3, 25),
    (patches.disjoint, 3, 10),
    (patches.sliding, 4, 100),
    (patches.disjoint, 4, 40),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Small problems, and other tests beside them."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different patches than clusters
        yield


def streams(n, seed=0, number=0):
    return Streams(seed, Draw(number=number, ids=torch.arange(n)), torch.device("cpu"))


def noisy(points, seed=0):
    return points + NOISE * streams(len(points), seed).normal(points.shape[1:], points.dtype)


def start(points, k, init, seed=0):
    index = kmeans.starts(points, k, init, streams(len(points), seed, number=1))
    return kmeans.gather_rows(points, index)


def reference(points, init, k, max_iter=UNTIL_CONVERGED, seed=None):
    """scikit-learn's Lloyd on one set of points."""
    init = init if isinstance(init, str) else init.numpy()
    model = KMeans(k, init=init, n_init=1, tol=0, max_iter=max_iter, algorithm="lloyd", random_state=seed)
    return model.fit(points.numpy())


def runs_empty(points, centers):
    """Whether Lloyd's algorithm, replayed step by step until nothing moves, ever leaves a cluster empty."""
    points, centers, before = points.numpy(), centers.numpy().copy(), None
    while True:
        labels = cdist(points, centers).argmin(1)
        if len(np.unique(labels)) < len(centers):
            return True
        if np.array_equal(labels, before):
            return False
        before = labels
        centers = np.stack([points[labels == label].mean(0) for label in range(len(centers))])


def test_equals_scikit_learn_wherever_no_cluster_runs_empty(cifar10):
    compared = 0
    for i, (cut, s, k) in enumerate(CUTS):
        points = noisy(cut(cifar10[10 * i : 10 * i + 10].double(), s), seed=i)
        centers = start(points, k, "random", seed=i)
        steps = (1, 4, UNTIL_CONVERGED)
        found = [kmeans.lloyd(points, centers, max_steps) for max_steps in steps]
        for j in range(10):
            if runs_empty(points[j], centers[j]):
                continue  # scikit-learn moves an empty cluster, ours stays
            for max_steps, (ours, labels) in zip(steps, found, strict=True):
                theirs = reference(points[j], centers[j], k, max_steps)
                np.testing.assert_allclose(ours[j].numpy(), theirs.cluster_centers_, rtol=0, atol=1e-6)
                if max_steps == UNTIL_CONVERGED:
                    assert np.array_equal(labels[j].numpy(), theirs.labels_)
            compared += 1
    assert compared >= 90


@pytest.mark.parametrize(("cut", "s", "k"), CUTS)
def test_inertia_in_float32_without_noise(cifar10, cut, s, k):
    points = cut(cifar10[:25], s)
    centers = start(points, k, "k-means++")
    ours = kmeans.inertia(points, kmeans.lloyd(points, centers, 300)[0])
    theirs = [reference(one, center, k, 300).inertia_ for one, center in zip(points, centers, strict=True)]
    assert ours.mean().item() == pytest.approx(np.mean(theirs), rel=1e-3)


@pytest.mark.parametrize(("cut", "s", "k"), [case for case in CUTS if case[1] > 1])
def test_inertia_in_float32_without_noise_from_random_patches(cifar10, cut, s, k):
    """From random patches of different value, where no cluster runs empty.

    Not at s = 1: 8-bit colors are often equally far from two centers, rounding decides, and even
    scikit-learn's means in float32 and float64 differ by 1 %.
    """
    points = cut(cifar10[:20], s)
    generator = torch.Generator().manual_seed(0)
    ours, theirs = [], []
    for one in points:
        values = torch.unique(one, dim=0)
        centers = values[torch.randperm(len(values), generator=generator)[:k]]
        if len(centers) == k and not runs_empty(one, centers):
            ours.append(kmeans.inertia(one[None], kmeans.lloyd(one[None], centers[None], 300)[0]).item())
            theirs.append(reference(one, centers, k, 300).inertia_)
    assert len(ours) >= 18
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=1e-3)


@pytest.mark.parametrize(
    ("cut", "s", "k", "init", "seeds"),
    [
        (patches.sliding, 3, 25, "random", 2),
        (patches.disjoint, 2, 50, "random", 4),
        (patches.disjoint, 2, 50, "k-means++", 2),
        (patches.disjoint, 1, 10, "k-means++", 2),
    ],
)
def test_starts_are_as_good_as_scikit_learns(cifar10, cut, s, k, init, seeds):
    """A mean over 200 images differs between seeds by up to 0.7 %, hence several seeds on either side.

    scikit-learn's differ from image to image: one seed would start at the same positions in all of them.
    """
    points = noisy(cut(cifar10, s))
    ours, theirs = [], []
    for seed in range(seeds):
        centers, _ = kmeans.lloyd(points, start(points, k, init, seed), 100)
        ours.append(kmeans.inertia(points, centers).mean().item())
        theirs += [reference(one, init, k, 100, 200 * seed + i).inertia_ for i, one in enumerate(points)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)


def test_random_and_plus_plus_starts_are_told_apart(cifar10):
    """The comparison above would notice a mixed-up start: at s = 1 they differ by far more than 1 %."""
    points = noisy(patches.disjoint(cifar10[:50], 1))
    found = [kmeans.inertia(points, start(points, 10, init)).mean().item() for init in kmeans.STARTS]
    assert found[1] < 0.8 * found[0]


@pytest.mark.parametrize("init", kmeans.STARTS)
def test_starts_are_different_points(init):
    points = torch.rand(20, 30, 3, generator=torch.Generator().manual_seed(0))
    index = kmeans.starts(points, 30, init, streams(20))
    assert torch.equal(index.sort(1).values, torch.arange(30).expand(20, 30))


def test_inertia_never_grows(cifar10):
    points = noisy(patches.sliding(cifar10[:20].double(), 2))
    centers = start(points, 10, "random")
    steps = [kmeans.inertia(points, kmeans.lloyd(points, centers, m)[0]) for m in range(8)]
    assert all((after <= before + 1e-9).all() for before, after in pairwise(steps))
    assert (steps[7] < 0.9 * steps[0]).all()


def test_an_empty_cluster_keeps_its_center():
    points = torch.tensor([[[0.0], [1.0], [2.0]]])
    centers, labels = kmeans.lloyd(points, torch.tensor([[[1.0], [9.0]]]), 10)
    assert centers.tolist() == [[[1.0], [9.0]]]
    assert labels.tolist() == [[0, 0, 0]]


def test_members_of_a_batch_do_not_mix(cifar10):
    """Converged sets leave the batch; each must end as if it were alone."""
    points = noisy(patches.sliding(cifar10[:12], 2))
    centers = start(points, 10, "random")
    together = kmeans.lloyd(points, centers, 100)
    for i in range(12):
        alone = kmeans.lloyd(points[i : i + 1], centers[i : i + 1], 100)
        torch.testing.assert_close(alone[0][0], together[0][i], rtol=0, atol=1e-6)
        assert torch.equal(alone[1][0], together[1][i])


def test_means_are_rounded_once(cifar10):
    """So the order of summation cannot decide between centers that are equally near, as they often are."""
    points = patches.sliding(cifar10[:20], 2)
    labels = torch.randint(10, points.shape[:2], generator=torch.Generator().manual_seed(0))
    fallback = torch.zeros(20, 10, 12)
    exact = kmeans.cluster_means(points.double(), labels, fallback.double())
    assert torch.equal(kmeans.cluster_means(points, labels, fallback), exact.float())
    assert torch.allclose(exact[3, 7], points[3, labels[3] == 7].double().mean(0))


def test_gradient_of_a_mean_is_shared_by_its_members():
    points = torch.rand(1, 5, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 0, 0, 1, 1]])
    kmeans.cluster_means(points, labels, torch.zeros(1, 3, 2, dtype=torch.float64)).sum().backward()
    assert torch.allclose(points.grad[0, :, 0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.5, 0.5]).double())


@pytest.mark.gpu
def test_cuda_agrees_with_cpu(cifar10):
    points = noisy(patches.sliding(cifar10[:20].double(), 3))
    centers = start(points, 25, "random")
    there, _ = kmeans.lloyd(points.cuda(), centers.cuda(), 100)
    torch.testing.assert_close(there.cpu(), kmeans.lloyd(points, centers, 100)[0], rtol=0, atol=1e-9)
