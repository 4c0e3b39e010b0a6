"""Adversarial training with f's weights contiguous or channels_last: milliseconds an image on one CPU thread.

    python benchmarks/training.py --out benchmarks/training.json

Each training is one epoch of PGD-AT (Madry et al. 2018) with 10 inner steps, from the same weights and on the
same images of noise. The two memory formats take turns, and the least time of each counts.
"""

import argparse
import json
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from kept import keep
from pipeline import least
from torch import nn

from vqexp.classifiers import resnet18, small_cnn, small_resnet
from vqexp.data import Images
from vqexp.training import PGDAT, Descent, InnerAttack

NETWORKS: dict[str, tuple[Callable[..., nn.Module], tuple[int, int, int], int]] = {  # with a number of images
    "small_cnn, 8 x 8": (small_cnn, (1, 8, 8), 512),
    "small_resnet, 28 x 28": (small_resnet, (1, 28, 28), 256),
    "small_resnet, 32 x 32": (small_resnet, (3, 32, 32), 256),
    "resnet18, 32 x 32": (resnet18, (3, 32, 32), 32),
}
EPS = 8 / 255


def trained(network: nn.Module, images: Images, channels_last: bool, device: torch.device) -> None:
    """One epoch, which `network` keeps no trace of."""
    inner = InnerAttack(eps=EPS, steps=10, step_size=EPS / 4)
    training = Descent(objective=PGDAT(inner=inner), epochs=1, lr=0.01, channels_last=channels_last)
    training.fit(deepcopy(network), images, seed=0, device=device)


def main() -> None:
    """Print a row for each network and, with --out, keep them with the command and the machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device, start, rows = torch.device(options.device), time.perf_counter(), {}
    torch.set_num_threads(1)
    for name, (make, shape, n) in NETWORKS.items():
        network = make(shape, 10).to(device)
        images = Images(torch.rand(n, *shape), torch.arange(n) % 10)
        formats = {"contiguous": False, "channels_last": True}
        works = {each: partial(trained, network, images, on, device) for each, on in formats.items()}
        seconds = least(works, device, options.turns)
        rows[name] = {f"{each}, ms": round(1e3 * taken / n, 2) for each, taken in seconds.items()}
        print(name, json.dumps(rows[name]), flush=True)
    if options.out:
        keep(rows, options.out, device, time.perf_counter() - start)


if __name__ == "__main__":
    main()
