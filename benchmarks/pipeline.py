"""What a step of an attack costs beside its parts: quantization, forward and backward pass.

    python benchmarks/pipeline.py --out benchmarks/pipeline.json
    python benchmarks/pipeline.py --device cuda --batch 250 --draws 1 10 --out benchmarks/pipeline_gpu.json

A gradient of m draws should take m times (one quantization and one forward and backward pass of f), measured
apart at the same batch size, and at most a tenth more. All take turns, and the least of each counts: of wall
time on a GPU, of CPU time on a CPU, which may be shared. Images are CIFAR-sized tiles of scikit-learn's two
sample photographs, f is an untrained ResNet18: no download is needed. Then the same gradient in smaller
batches of draws, and with f computed in other ways.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from kept import keep
from quantizers import quantizers, tiles
from torch import Tensor, nn

from vqexp.adversaries import RandomView, WhiteBox
from vqexp.attacks import PGD
from vqexp.attacks.losses import ce
from vqexp.classifiers import computed, resnet18
from vqexp.core.draws import repeated
from vqexp.core.random_module import call
from vqexp.defenses import Defense, NoDefense

STEPS = 3


def clock(device: torch.device) -> float:
    """Seconds: of the wall once a GPU is idle, or of this process's CPU time."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def least(works: dict[str, Callable[[], Any]], device: torch.device, turns: int) -> dict[str, float]:
    """The least seconds of each over `turns`, after one to warm up."""
    found = dict.fromkeys(works, float("inf"))
    for turn in range(turns + 1):
        for name, work in works.items():
            start = clock(device)
            work()
            found[name] = min(found[name], clock(device) - start if turn else float("inf"))
    return found


def view_of(f: nn.Module, defense: Defense, draws: int, limit: float | None = None) -> RandomView:
    """What an attack sees that knows the defense, straight through; of f alone, f."""
    if isinstance(defense, NoDefense):
        return RandomView(f)
    return WhiteBox(gradient="ste", samples=draws, memory_limit=limit).view(f, defense)


def works(
    f: nn.Module, defense: Defense, images: Tensor, draws: int, limit: float | None
) -> dict[str, Callable[[], Any]]:
    """A whole attack, a gradient, and their parts in batches as large as the gradient's own."""
    n, labels = len(images), torch.zeros(len(images), dtype=torch.int64, device=images.device)
    view = view_of(f, defense, draws, limit)
    view.start(1)
    at_once = max(1, view._at_once(images) // n)
    batches = torch.arange(draws).split(at_once)
    many = [images.repeat(len(some), 1, 1, 1) for some in batches]
    attack = PGD(eps=8 / 255, step_size=2 / 255, steps=STEPS, random_start=False, batch_size=n)

    @torch.no_grad()
    def quantization() -> None:
        for some, batch in zip(batches, many, strict=True):
            call(defense, batch, repeated("attack", some, torch.arange(n)))

    def network() -> None:
        for batch in many:
            point = batch.detach().requires_grad_()
            torch.autograd.grad(ce(f(point), labels.repeat(len(batch) // n)).sum(), point)

    return {
        "attack": lambda: attack.run(view, images, labels, 0),
        "gradient": lambda: view.gradient(images, labels, ce),
        "quantization": quantization,
        "forward and backward": network,
    }


def row(
    f: nn.Module, defense: Defense, images: Tensor, draws: int, turns: int, **more: Any
) -> dict[str, Any]:
    """Milliseconds an image and draw, and the ratios to the sum of the parts."""
    found = least(works(f, defense, images, draws, more.get("memory_limit")), images.device, turns)
    shown = {name: 1e3 * seconds / (len(images) * draws) for name, seconds in found.items()}
    shown["step of the attack"] = shown.pop("attack") / STEPS
    parts = shown["quantization"] + shown["forward and backward"]
    return {
        "defense": type(defense).__name__,
        "draws": draws,
        **more,
        "milliseconds": {name: round(value, 5) for name, value in shown.items()},
        "gradient by parts": round(shown["gradient"] / parts, 3),
        "step by parts": round(shown["step of the attack"] / parts, 3),
    }


def waits(f: nn.Module, defense: Defense, images: Tensor, draws: int) -> float | None:
    """How often the host waits for the GPU in a step."""
    if images.device.type != "cuda":
        return None
    labels, counts = torch.zeros(len(images), dtype=torch.int64, device=images.device), []
    view = view_of(f, defense, draws)
    for steps in (2, 2, 6):
        attack = PGD(eps=8 / 255, step_size=2 / 255, steps=steps, random_start=False, batch_size=len(images))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            attack.run(view, images, labels, 0)
            torch.cuda.set_sync_debug_mode("default")
        counts.append(sum("synchronizing" in str(each.message) for each in told))
    return (counts[2] - counts[1]) / 4


def networks(device: torch.device) -> dict[str, nn.Module]:
    """f as it is, and in other ways that may be faster."""
    torch.manual_seed(0)
    f = resnet18((3, 32, 32), 10).eval().requires_grad_(False).to(device)
    last = f.to(memory_format=torch.channels_last)
    found = {
        "channels_last": last,
        "bfloat16": computed(last, "bfloat16"),
        "compiled": computed(last, compiled=True),
    }
    other = resnet18((3, 32, 32), 10).eval().requires_grad_(False).to(device)
    other.load_state_dict(f.state_dict())
    return {**found, "contiguous": other}


def main() -> None:
    """Print the rows and, with --out, keep them with the command, the machine and the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=16, help="from 16 on: attacks fill smaller ones up")
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--limits", type=float, nargs="*", default=[32, 128, 512], help="MiB for the backward pass"
    )
    parser.add_argument("--ways", nargs="*", default=["bfloat16", "contiguous"], help="of computing f")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    images, known = tiles(32, options.batch).to(device), networks(device)
    f, rows = known["channels_last"], []

    def tell(one: dict[str, Any]) -> None:
        rows.append(one)
        print(json.dumps(one), flush=True)

    start = time.perf_counter()
    defenses = [NoDefense(), *(each.to(device) for each in quantizers(32))]
    for defense in defenses:
        for draws in options.draws if defense.random else [1]:
            one = row(f, defense, images, draws, options.turns)
            one["waits in a step"] = waits(f, defense, images, draws)
            tell(one)
    swrd, most = defenses[-1], max(options.draws)
    for limit in options.limits:
        tell(row(f, swrd, images, most, options.turns, memory_limit=limit))
    for way in options.ways:
        tell(row(known[way], swrd, images, 1, options.turns, computed=way))
    if options.out:
        keep(rows, options.out, device, time.perf_counter() - start, batch=options.batch)


if __name__ == "__main__":
    main()
