"""Check, tune and time the quantizers on this machine's GPU, then f and EOT, in less than five minutes.

    python scripts/check_gpu.py
    python scripts/check_gpu.py parity comparisons rates

Prints each section as it is done, of all or of those that are named, and goes on after one that fails.
Writes `check_gpu.json` into the folder $OUT, where that is set. Where flash-kmeans is not installed, vqexp's
torch backend stands in for it.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, pad

from vqexp.adversaries import WhiteBox
from vqexp.attacks.losses import ce
from vqexp.classifiers import PRECISIONS, computed, resnet18
from vqexp.core import philox
from vqexp.core.draws import Draw, Streams
from vqexp.defenses import PRD, RandDisc, SwRD, VectorQuantizer
from vqexp.defenses.vq import kmeans

NOISE: dict[str, Any] = {"sigma": 4 / 255, "tau": 4 / 255}
START, LIMIT = time.perf_counter(), 280  # seconds
BATCH, STEPS = 3072, 20
# patches a tile, warps, tiles in flight, registers a thread
TUNINGS: list[tuple[int, int, int, int | None]] = [
    *((128, 4, 3, None), (128, 4, 4, None), (128, 4, 3, 168), (128, 4, 4, 168), (128, 4, 3, 128)),
    *((64, 4, 3, None), (64, 4, 3, 128), (64, 4, 4, 128), (64, 4, 2, 128), (64, 4, 3, 96)),
    *((32, 4, 3, 128), (32, 2, 3, None), (32, 1, 3, None), (64, 2, 3, None), (256, 8, 2, None)),
]
WAYS = (
    ("triton", torch.float32),
    ("triton", torch.float32),
    ("torch", torch.float32),
    ("torch", torch.float64),
)


def swrd(**settings: Any) -> SwRD:
    """swRD as for CIFAR-10."""
    return SwRD(**{"s": 3, "k": 25, "beta": 2, **NOISE, **settings})


def tiles(size: int, count: int) -> Tensor:
    """`count` square tiles of scikit-learn's two photographs, which differ by a shift."""
    photographs = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2).cuda() / 255
    step = max(1, int((2 * (427 - size) * (640 - size) / count) ** 0.5) - 1)
    cut = photographs.unfold(2, size, step).unfold(3, size, step).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    return cut.repeat(-(-count // len(cut)), 1, 1, 1)[:count].contiguous()


def seconds(work: Callable[[], object], least: float = 0.15) -> float:
    """The median of several runs that take `least` seconds together, after two to warm up."""
    work(), work()
    times: list[float] = []
    while sum(times) < least or len(times) < 3:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        work()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / 1e3)
    return sorted(times)[len(times) // 2]


def environment() -> Iterator[str]:
    import triton

    properties = torch.cuda.get_device_properties(0)
    yield f"{properties.name}, {properties.multi_processor_count} multiprocessors"
    yield f"torch {torch.__version__}, triton {triton.__version__}"


def noise() -> Iterator[tuple[str, float]]:
    """Largest difference between the kernel's numbers and torch's, and the time of a kernel's."""
    from vqexp.core import philox_triton

    images = torch.tensor([[0, 0], [3, 1], [2**63 - 1, 5], [2**40 + 1, 2**63 - 1]])
    for kind in philox.KINDS:
        arguments = (2**62 + 5, 3, (900, 27), kind)
        found, expected = philox_triton.fill(images.cuda(), *arguments).cpu(), philox.fill(images, *arguments)
        yield f"difference, {kind}", (found - expected).abs().max().item()
    draw = Draw("report", 0, torch.arange(BATCH))
    took = seconds(lambda: Streams(0, draw, torch.device("cuda")).normal((900, 27), torch.float32))
    yield "1e9 normal numbers a second", BATCH * 900 * 27 / took / 1e9
    yield (
        "images' 25 of 900 patches, 1e6 a second",
        BATCH / 1e6 / seconds(lambda: Streams(0, draw, torch.device("cuda")).subset(900, 25)),
    )


def parity() -> Iterator[tuple[str, float]]:
    """Share of pixels that differ by more than 1e-4: Triton's, torch's, and torch's in float64."""
    quantizers: list[tuple[int, int, VectorQuantizer]] = [
        (32, 512, swrd()),
        (32, 512, swrd(max_steps=5)),
        (32, 512, PRD(s=2, k=50, **NOISE)),
        (32, 512, RandDisc(k=10, **NOISE)),
        (224, 4, swrd(s=2, k=30)),
        (328, 4, SwRD(s=3, k=30, beta=0.1, sigma=4, tau=4, pixel_max=255)),
    ]
    for size, count, quantizer in quantizers:
        images, draw, results = tiles(size, count), Draw("report", 3), []
        for backend, dtype in WAYS:
            quantizer.backend = backend
            results.append(quantizer(images.to(dtype), draw).float())
        assert torch.equal(results[0], results[1]), "two runs differ"
        pairs = {"triton, torch": (0, 2), "triton, torch in float64": (0, 3), "torch, in float64": (2, 3)}
        for name, (one, other) in pairs.items():
            differ = (results[one] - results[other]).abs() > 1e-4
            what = f"{size} px, {type(quantizer).__name__}, {quantizer.max_steps} steps, {name}"
            yield f"{what}: pixels", differ.float().mean().item()
            yield f"{what}: images", differ.flatten(1).any(1).float().mean().item()


def tuned(size: int, count: int, quantizer: SwRD, out: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Images a second by tuning, the fastest last."""
    from vqexp.defenses.vq.backends import load
    from vqexp.defenses.vq.kernels.launch import Tuning

    backend: Any = load("triton")
    images, before, best = tiles(size, count), backend.tuning, (0.0, backend.tuning)
    for tuning in TUNINGS:
        if time.perf_counter() - START > LIMIT * 0.6:
            break
        backend.tuning = Tuning(*tuning)
        try:
            rate = count / seconds(lambda: quantizer(images, Draw("report", 0)))
        except Exception as error:
            yield f"{tuning} {type(error).__name__} {str(error)[:80]}", float("nan")
            continue
        best = max(best, (rate, backend.tuning), key=lambda pair: pair[0])
        yield str(tuning), rate
    backend.tuning = before if size != 32 else best[1]
    out["tuning"] = asdict(best[1])
    yield f"fastest: {best[1]}", best[0]


def stages() -> Iterator[tuple[str, float]]:
    """Microseconds an image of each kernel, at CIFAR-10 shape."""
    images, quantizer = tiles(32, BATCH), swrd()
    quantizer(images, Draw("report", 1))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        quantizer(images, Draw("report", 2))
        torch.cuda.synchronize()
    for event in sorted(profile.key_averages(), key=lambda event: -event.device_time_total)[:10]:
        yield event.key[:70], event.device_time_total / BATCH
    patches = quantizer.patches(images)[:64]
    streams = Streams(0, Draw("report", 0, torch.arange(len(patches))), patches.device)
    steps = lloyd_steps(quantizer.with_noise(patches, quantizer.sigma, streams))
    yield "Lloyd steps until nothing changes, mean", steps


def lloyd_steps(points: Tensor) -> float:
    """Mean number of Lloyd steps until no label changes."""
    centers, steps = points[:, ::36].contiguous(), torch.zeros(len(points), device=points.device)
    labels = kmeans.nearest(points, centers)
    for _ in range(100):
        centers = kmeans.cluster_means(points, labels, centers)
        new = kmeans.nearest(points, centers)
        steps += (new != labels).any(1)
        labels = new
    return steps.mean().item() + 1


def rates() -> Iterator[tuple[str, float]]:
    """Images a second, whole: noise, k-means and reassembly."""
    for size, batches, settings in (
        (32, (128, 512, BATCH), {}),
        (224, (1, 32, 128), {"s": 2, "k": 30}),
        (328, (32,), {"k": 30}),
    ):
        for batch in batches:
            images = tiles(size, batch)
            for backend in ("triton", "torch"):
                quantizer = swrd(**settings, backend=backend)
                if backend == "triton" or (size, batch) in ((32, 512), (224, 32)):
                    rate = batch / seconds(partial(quantizer, images, Draw("report", 0)))
                    yield f"{size} px, batch {batch}, {backend}", rate


def comparisons() -> Iterator[tuple[str, float]]:
    """At CIFAR-10 shape: a pipeline on flash-kmeans, 20 Lloyd steps, and ResNet18's forward in bfloat16."""
    images, quantizer = tiles(32, BATCH), swrd(max_steps=STEPS, backend="triton")
    ours = BATCH / seconds(lambda: quantizer(images, Draw("report", 0)))
    yield f"swRD, {STEPS} steps at most, images/s", ours
    few = images[:512]
    if find_spec("flash_kmeans"):
        from flash_kmeans import batch_kmeans_Euclid

        def pipeline() -> Tensor:
            streams = Streams(0, Draw("report", 0, torch.arange(len(few))), few.device)
            patches = quantizer.patches(few)
            noisy = quantizer.with_noise(patches, quantizer.sigma, streams)
            start = kmeans.gather_rows(noisy, streams.subset(900, 25))
            padded, start = pad(noisy, (0, 5)), pad(start, (0, 5))
            centers = batch_kmeans_Euclid(padded, 25, max_iters=STEPS, init_centroids=start)[1][..., :27]
            noisy = quantizer.with_noise(patches, quantizer.tau, streams)
            return quantizer.reassemble(quantizer.assignment.quantized(noisy, centers), patches, (32, 32))

        name = "flash-kmeans"
    else:

        def pipeline() -> Tensor:
            return swrd(max_steps=STEPS, backend="torch")(few, Draw("report", 0))

        name = "torch backend, for flash-kmeans"
    theirs = len(few) / seconds(pipeline)
    yield f"pipeline on {name}, images/s", theirs
    yield "times as fast (goal 10)", ours / theirs
    f = resnet18((3, 32, 32), 10).eval().cuda().bfloat16().to(memory_format=torch.channels_last)
    x = images.bfloat16().to(memory_format=torch.channels_last)
    with torch.no_grad():
        forward = BATCH / seconds(lambda: f(x))
    yield "ResNet18 forward in bfloat16, images/s", forward
    whole = BATCH / seconds(lambda: swrd()(images, Draw("report", 0)))
    yield "swRD to the end, images/s (goal 1e6)", whole
    yield "its share of ResNet18's time (goal 0.1)", forward / whole


def network(device: torch.device) -> nn.Module:
    """A ResNet18 for CIFAR-10's shape, frozen and not trained, as a run has it."""
    torch.manual_seed(0)
    f = resnet18((3, 32, 32), 10).eval().requires_grad_(False)
    return f.to(device).to(memory_format=torch.channels_last)


def precisions(images: Tensor, compiled: bool = True) -> Iterator[tuple[str, float]]:
    """Gradients a second by how f is computed, and the median cosine with those of float32 without TF32."""
    f, labels = network(images.device), torch.zeros(len(images), dtype=torch.int64, device=images.device)

    def gradient(classifier: nn.Module) -> Tensor:
        points = images.detach().requires_grad_()
        return torch.autograd.grad(ce(classifier(points), labels).sum(), points)[0]

    torch.backends.cudnn.allow_tf32, before = False, torch.backends.cudnn.allow_tf32
    yield "float32 without TF32", len(images) / seconds(lambda: gradient(f))
    exact = gradient(f).flatten(1)
    torch.backends.cudnn.allow_tf32 = before
    for precision, compile_it in product(PRECISIONS, (False, True) if compiled else (False,)):
        if time.perf_counter() - START > LIMIT * 0.8:
            break
        classifier, start = computed(f, precision, compile_it), time.perf_counter()
        found = gradient(classifier).flatten(1)
        name = f"{precision}{', compiled' if compile_it else ''}"
        if compile_it:
            yield f"{name}: seconds until the first gradient", time.perf_counter() - start
        yield name, len(images) / seconds(lambda classifier=classifier: gradient(classifier))
        yield f"{name}: cosine", cosine_similarity(exact, found).median().item()


def draws(images: Tensor, count: int = 20) -> Iterator[tuple[str, float]]:
    """EOT's gradients a second, of one draw each, by how many MiB of draws go at once."""
    f, labels = network(images.device), torch.zeros(len(images), dtype=torch.int64, device=images.device)
    for limit in (1024, 4096, 16384):
        view = WhiteBox(gradient="ste", samples=count, memory_limit=limit).view(f, swrd())
        view.start(0)
        took = seconds(lambda view=view: view.gradient(images, labels, ce))
        yield f"memory_limit {limit}", count * len(images) / took


def main(chosen: Sequence[str]) -> int:
    """chosen: names of sections; all of them if empty."""
    if not torch.cuda.is_available():
        print("there is no CUDA device", file=sys.stderr)
        return 1
    results: dict[str, Any] = {}
    failed = 0
    sections: dict[str, Callable[[], Iterator[Any]]] = {
        "environment": environment,
        "noise": noise,
        "parity": parity,
        "tuning at 32 px": lambda: tuned(32, BATCH, swrd(), results),
        "stages": stages,
        "comparisons": comparisons,
        "rates": rates,
        "gradients of EOT a second": lambda: draws(tiles(32, 100)),
        "tuning at 224 px": lambda: tuned(224, 64, swrd(s=2, k=30), {}),
        "gradients of f a second": lambda: precisions(tiles(32, 500)),
    }
    if unknown := set(chosen) - set(sections):
        print(f"no section {min(unknown)!r}; there are {', '.join(sections)}", file=sys.stderr)
        return 2
    for name in chosen or sections:
        print(f"\n{name} ({time.perf_counter() - START:.0f} s)", flush=True)
        found = results.setdefault(name, {})
        try:
            if time.perf_counter() - START > LIMIT:
                raise TimeoutError("left out, to end in time")
            for row in sections[name]():
                label, value = row if isinstance(row, tuple) else (row, "")
                found[label] = value
                print(f"  {label:<72}{value if isinstance(value, str) else f'{value:.4g}':>12}", flush=True)
        except Exception:
            failed += 1
            found["error"] = traceback.format_exc()
            print(found["error"], flush=True)
        if out := os.environ.get("OUT"):
            Path(out, "check_gpu.json").write_text(json.dumps(results, indent=1))
    print(f"\n{time.perf_counter() - START:.0f} s, {failed} sections failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
