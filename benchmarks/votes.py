"""What a vote costs, beside the network's own forward pass: CPU seconds of one thread, paired.

    python benchmarks/votes.py --classifier stn_mnist --draws 400

A draw makes noise, adds it, passes the network and counts. `times` is the median of the paired ratios to the
forward passes of as many images in batches of the same size; `100,000 draws of 500` is what they would take.
Images and weights are random: neither changes the time.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from vqexp.core.config import CONF
from vqexp.core.reductions import votes
from vqexp.core.sampling import AT_ONCE, Sampler
from vqexp.defenses import AdditiveNoise


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


@torch.no_grad()
def forward(net: nn.Module, images: torch.Tensor, draws: int, at_once: int) -> None:
    """As many passes of the network as there are draws, in the loop's batches."""
    for numbers in torch.arange(draws).split(at_once):
        net(images.repeat(len(numbers), 1, 1, 1))


def compare(net: nn.Module, shape: tuple[int, int, int], n: int, draws: int, repeats: int) -> str:
    """One line: microseconds of a draw and of a forward pass, and the median of the paired ratios."""
    images, ids = torch.rand(n, *shape), torch.arange(n)
    defended = AdditiveNoise(sigma=0.5).wrap(net.eval())
    sampler, at_once = Sampler(0), max(1, AT_ONCE // images.numel())
    voted, passed = [], []
    for _ in range(repeats + 1):  # the first warms up
        voted.append(seconds(lambda: votes(sampler.draws(defended, images, ids, "certify", draws))))
        passed.append(seconds(lambda: forward(net, images, draws, at_once)))
    ratio = median(one / other for one, other in zip(voted[1:], passed[1:], strict=True))
    a_draw, a_pass = (1e6 * min(found[1:]) / (n * draws) for found in (voted, passed))
    hours = 100_000 * 500 * a_draw / 1e6 / 3600
    return (
        f"{a_draw:.0f} us a draw, {a_pass:.0f} us a forward pass, times {ratio:.2f}; "
        f"100,000 draws of 500 images: {hours:.1f} h"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classifier", default="stn_mnist", help="a name out of conf/classifier")
    parser.add_argument("--shape", type=int, nargs=3, default=(1, 28, 28))
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = OmegaConf.load(CONF / "classifier" / f"{options.classifier}.yaml")
    del chosen["defaults"]
    net = instantiate(chosen, shape=list(options.shape), num_classes=10)
    print(compare(net, tuple(options.shape), options.images, options.draws, options.repeats))
