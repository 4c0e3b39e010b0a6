"""How fast the quantizers are on this CPU, beside other k-means and beside the classifier they protect.

    python benchmarks/cpu.py --threads 2 --out benchmarks/cpu.json

All contestants of a group take turns, and the minimum over the turns counts, of wall time and of the CPU time
of all threads: on a machine that is shared, the latter is the one to trust. Contestants whose library is not
installed are left out (`pip install 'vqexp[bench]'`). Images are tiles of scikit-learn's two photographs.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from quantizers import tiles
from sklearn.cluster import KMeans
from torch import Tensor

from vqexp.classifiers import resnet18
from vqexp.core.draws import Draw, Streams
from vqexp.defenses import SwRD
from vqexp.defenses.vq import backends, kmeans
from vqexp.pipeline.provenance import provenance

CPU = torch.device("cpu")
LIBRARIES = ("numba", "flash-kmeans", "torch-kmeans")  # beside those of every record
Contestants = dict[str, Callable[[], Any]]


def milliseconds(contestants: Contestants, images: int, turns: int) -> dict[str, dict[str, float]]:
    """Each contestant's least wall and CPU time an image over `turns`, after one to warm up."""
    found = {name: {"wall": float("inf"), "cpu": float("inf")} for name in contestants}
    for turn in range(turns + 1):
        for name, work in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            if turn:
                for clock, seconds in spent.items():
                    found[name][clock] = min(found[name][clock], 1e3 * seconds / images)
    return found


def clustering(points: Tensor, start: Tensor, steps: int) -> Contestants:
    """`steps` Lloyd steps from the same starts."""
    k = start.shape[1]

    def scikit_learn() -> None:
        for one, center in zip(points.numpy(), start.numpy(), strict=True):
            KMeans(k, init=center, n_init=1, max_iter=steps, tol=0, algorithm="lloyd").fit(one)

    found: Contestants = {
        name: lambda name=name: backends.load(name).lloyd(points, start, steps)  # type: ignore[misc]
        for name in ("numba", "torch")
    }
    found["scikit-learn"] = scikit_learn
    if flash := optional("flash_kmeans.torch_fallback"):
        found["flash-kmeans, torch fallback"] = lambda: flash.batch_kmeans_Euclid_torch_native(
            points, k, max_iters=steps, tol=-1, init_centroids=start
        )
    if other := optional("torch_kmeans"):
        model = other.KMeans(n_clusters=k, num_init=1, max_iter=steps, tol=0, verbose=False)
        found["torch_kmeans"] = lambda: model(points, centers=start)
    return found


def optional(module: str) -> Any:
    """The module; None if it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def swrd(s: int, k: int) -> SwRD:
    """The papers' settings on color images."""
    return SwRD(s=s, k=k, beta=2, sigma=4 / 255, tau=4 / 255)


def measured(turns: int, images: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds an image, by group and contestant."""
    small, large, q = tiles(32, images), tiles(224, 2), swrd(3, 25)
    streams = Streams(0, Draw(ids=torch.arange(images)), CPU)
    patches = q.patches(small)
    points = patches + 4 / 255 * streams.normal(patches.shape[1:], patches.dtype)
    start = kmeans.gather_rows(points, kmeans.starts(points, q.k, "random", streams))
    network = resnet18((3, 32, 32), 10).eval().to(memory_format=torch.channels_last)
    forward: Contestants = {
        "swRD": lambda: q(small, Draw("report")),
        "of it: noise": lambda: [streams.normal(patches.shape[1:], patches.dtype) for _ in range(2)],
        "ResNet18": lambda: network(small),
    }
    with torch.no_grad():
        return {
            "20 Lloyd steps, 32 x 32, s 3, k 25": milliseconds(clustering(points, start, 20), images, turns),
            "forward, 32 x 32, s 3, k 25": milliseconds(forward, images, turns),
            "forward, 224 x 224, s 2, k 30": milliseconds(
                {"swRD": lambda: swrd(2, 30)(large, Draw("report"))}, len(large), turns
            ),
        }


def main() -> None:
    """Print the table and, with --out, keep it with the machine and the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # scikit-learn's, of starts that are float32
    load, results = os.getloadavg()[0], measured(options.turns, options.images)
    for group, rows in results.items():
        print(f"\n{group}\n{'ms an image':<32}{'wall':>9}{'ratio':>8}{'CPU':>9}{'ratio':>8}")
        first = next(iter(rows.values()))
        for name, row in rows.items():
            times = (f"{row[clock]:9.3f}{row[clock] / first[clock]:8.2f}" for clock in ("wall", "cpu"))
            print(f"{name:<32}{''.join(times)}")
    if options.out:
        told = provenance(CPU, {})
        installed = {each.metadata["Name"].lower() for each in importlib.metadata.distributions()}
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES if name in installed}
        machine = {
            "device": told["device"],
            "system": platform.platform(),
            "load": load,
            "date": told["date"],
        }
        kept = {**machine, "libraries": {**told["libraries"], **versions}, "milliseconds": results}
        options.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
