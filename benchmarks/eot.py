"""What an EOT gradient costs, beside its parts: CPU seconds, paired, and memory.

    python benchmarks/eot.py --draws 1 5 20 --batch 10

A gradient of m draws should cost m times (one quantization and one forward and backward pass of f) and
hardly more, whatever m, with memory that does not grow with it. Images are CIFAR-sized tiles of
scikit-learn's two sample photographs, f is an untrained ResNet18: no download is needed.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from quantizers import quantizers, tiles
from torch import Tensor, nn

from vqexp.adversaries import WhiteBox
from vqexp.attacks.losses import ce
from vqexp.classifiers import resnet18
from vqexp.core.draws import Draw
from vqexp.defenses import VectorQuantizer


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def parts(f: nn.Module, q: VectorQuantizer, images: Tensor, labels: Tensor, draw: Draw) -> None:
    """One quantization, and one gradient of f at what came out."""
    quantized = q(images, draw).requires_grad_()
    torch.autograd.grad(ce(f(quantized), labels).sum(), quantized)


def compare(f: nn.Module, q: VectorQuantizer, images: Tensor, draws: int, repeats: int, limit: float) -> str:
    """One line: the gradient's seconds, those of its parts, and the median of the paired ratios.

    The parts are done in batches as large as the gradient's own, so that both use the caches alike.
    """
    n, labels = len(images), torch.zeros(len(images), dtype=torch.int64)
    view = WhiteBox(gradient="ste", samples=draws, memory_limit=limit).view(f, q)
    view.start(1)
    at_once = max(1, view._at_once(images) // n)
    whole, pieces = [], []
    for _ in range(repeats + 1):
        whole.append(seconds(lambda: view.gradient(images, labels, ce)))
        for first in range(0, draws, at_once):
            some = min(at_once, draws - first)
            rows, number = torch.arange(n).repeat(some), torch.arange(some).repeat_interleave(n)
            draw = Draw("attack", number, rows)
            many = (images.repeat(some, 1, 1, 1), labels.repeat(some))
            pieces.append(seconds(lambda many=many, draw=draw: parts(f, q, *many, draw)))  # type: ignore[misc]
    batches = len(pieces) // (repeats + 1)
    sums = [sum(pieces[i : i + batches]) for i in range(0, len(pieces), batches)]
    ratios = sorted(one / other for one, other in zip(whole[1:], sums[1:], strict=True))
    # of the process so far
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shortest, ratio = (min(whole[1:]), min(sums[1:])), ratios[len(ratios) // 2]
    return f"{draws:>6}{shortest[0]:>12.3f}{shortest[1]:>12.3f}{ratio:>10.3f}{peak:>12.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-limit", type=float, default=1024, help="MiB for the backward pass")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    f = resnet18((3, 32, 32), 10).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    images = tiles(32, options.batch)
    for q in quantizers(32):
        print(f"{type(q).__name__}, batch {options.batch}: CPU seconds, and the process's peak MiB so far")
        print(f"{'draws':>6}{'gradient':>12}{'its parts':>12}{'ratio':>10}{'peak':>12}")
        for draws in options.draws:
            print(compare(f, q, images, draws, options.repeats, options.memory_limit), flush=True)


if __name__ == "__main__":
    main()
