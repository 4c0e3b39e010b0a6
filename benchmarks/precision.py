r"""f in other precisions, memory formats and compiled: how fast, and whether real images are judged the same.

    python benchmarks/precision.py --checkpoint FILE --out benchmarks/precision.json
    python benchmarks/precision.py --checkpoint FILE --device cuda --n 2000 --batch 250 \
        --out benchmarks/precision_gpu.json

f is a ResNet18 for CIFAR-10, whose images lie under VQEXP_DATA. Each way of computing it is compared with the
first, float32: its labels of clean images, and what PGD finds through it, judged in float32 as in every run,
and by itself. Then all take turns, and the least time of each counts: of the wall on a GPU, of the process on
a CPU.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from kept import keep
from pipeline import least
from torch import Tensor, nn

from vqexp.adversaries.view import view_of
from vqexp.attacks import PGD
from vqexp.attacks.losses import ce
from vqexp.classifiers import computed, load_checkpoint, resnet18
from vqexp.data import ImageFiles

SHAPE, CLASSES = (3, 32, 32), 10


@dataclass
class Way:
    """One of computing f. tf32: whether float32 convolutions may be rounded to TF32, torch's default."""

    network: nn.Module
    tf32: bool = True

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work(network, *arguments)` returns."""
        with nullcontext() if self.tf32 else without_tf32():
            return work(self.network, *arguments)


@contextmanager
def without_tf32() -> Iterator[None]:
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def ways(f: nn.Module) -> dict[str, Way]:
    """By name, the one first that the others are compared with. f: frozen, contiguous, on its device."""
    last = deepcopy(f).to(memory_format=torch.channels_last)
    strict = {"float32 without TF32": Way(last, tf32=False)} if next(f.parameters()).is_cuda else {}
    return {
        **strict,
        "float32": Way(last),
        "float32, contiguous": Way(f),
        "float32, compiled": Way(computed(last, compiled=True)),
        "bfloat16": Way(computed(last, "bfloat16")),
        "bfloat16, compiled": Way(computed(last, "bfloat16", compiled=True)),
    }


@torch.no_grad()
def logits(network: nn.Module, images: Tensor, batch: int) -> Tensor:
    """(N, classes)."""
    return torch.cat([network(some) for some in images.split(batch)])


def attacked(network: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """What PGD makes of the images through this network."""
    found, start = [], 0
    for some in images.split(attack.batch_size):
        ids = torch.arange(start, start + len(some))
        found.append(attack.run(view_of(network), some, labels[ids.to(labels.device)], 0, ids).images)
        start += len(some)
    return torch.cat(found)


def gradient(network: nn.Module, images: Tensor) -> Tensor:
    point = images.detach().requires_grad_()
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    return torch.autograd.grad(ce(network(point), labels).sum(), point)[0]


def compared(known: dict[str, Way], images: Tensor, labels: Tensor, attack: PGD) -> dict[str, dict[str, Any]]:
    """What each way says of the images, and what an attack finds through it."""
    found: dict[str, dict[str, Any]] = {}
    reference = next(iter(known.values()))
    expected = reference(logits, images, attack.batch_size)
    right: Tensor | None = None  # on what is found through the reference
    for name, way in known.items():
        start = time.perf_counter()  # compilers are other processes
        way(gradient, images[: attack.batch_size]).sum().item()  # waits for a GPU
        starting = time.perf_counter() - start
        clean = way(logits, images, attack.batch_size)
        points = way(attacked, images, labels, attack)
        judged, by_itself = (each(logits, points, attack.batch_size).argmax(1) for each in (reference, way))
        right = judged == labels if right is None else right
        found[name] = {
            "natural accuracy": share(clean.argmax(1) == labels),
            "labels of float32": share(clean.argmax(1) == expected.argmax(1)),
            "logits, largest difference": float(
                f"{(clean - expected).abs().max() / expected.abs().max():.2g}"
            ),
            "robust accuracy": share(judged == labels),
            "robust accuracy, judged by itself": share(by_itself == labels),
            "images robust as in float32": share((judged == labels) == right),
            "first gradient, s of wall time": round(starting, 1),
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def share(of: Tensor) -> float:
    return round(of.float().mean().item(), 4)


def timed(known: dict[str, Way], images: Tensor, turns: int) -> dict[str, dict[str, float]]:
    """Milliseconds an image, forward and gradient, all in turns."""
    works: dict[str, Callable[[], Any]] = {}
    for name, way in known.items():
        works[f"{name}: forward"] = lambda way=way: way(logits, images, len(images))
        works[f"{name}: gradient"] = lambda way=way: way(gradient, images)
    seconds = least(works, images.device, turns)
    return {
        name: {
            f"{what}, ms": round(1e3 * seconds[f"{name}: {what}"] / len(images), 4)
            for what in ("forward", "gradient")
        }
        for name in known
    }


def main() -> None:
    """Print a row for each way and, with --out, keep them with the command, the machine and the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16, help="images at once")
    parser.add_argument("--eps", type=float, default=1, help="of PGD, in 255ths")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="ways to leave out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device, start = torch.device(options.device), time.perf_counter()
    torch.set_num_threads(1)
    f = resnet18(SHAPE, CLASSES).eval().requires_grad_(False)
    load_checkpoint(f, options.checkpoint)
    dataset = ImageFiles(name="cifar10", shape=SHAPE, num_classes=CLASSES, root=os.environ.get("VQEXP_DATA"))
    images = dataset.load("test", options.n)
    pixels, labels = images.pixels(slice(0, options.n)).to(device), images.labels[: options.n].to(device)
    known = {name: way for name, way in ways(f.to(device)).items() if name not in options.without}
    eps = options.eps / 255
    attack = PGD(eps=eps, step_size=eps / 4, steps=options.steps, batch_size=options.batch)
    rows = compared(known, pixels, labels, attack)
    for name, more in timed(known, pixels[: options.batch], options.turns).items():
        rows[name] |= more
        print(name, json.dumps(more), flush=True)
    if options.out:
        keep(rows, options.out, device, time.perf_counter() - start)


if __name__ == "__main__":
    main()
