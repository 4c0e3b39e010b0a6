"""How much memory an attack on f alone takes: the process' peak, batch by batch size.

    python benchmarks/peak.py --images 8 100 --out benchmarks/peak.json

f is EfficientNet-v2-s at 328 x 328, the largest of the papers, with random weights. It gives one gradient,
as a view does and as a library does that differentiates by itself. Each row has a process, on the CPU.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from kept import keep

from vqexp.adversaries.view import View
from vqexp.attacks.losses import ce
from vqexp.classifiers import efficientnet_v2_s

SHAPE = (3, 328, 328)
WAYS = ("view", "library")


def peak(way: str, count: int) -> dict[str, float | str]:
    """One gradient of `count` images: MB of the process at most, and the seconds it took."""
    torch.manual_seed(0)
    view = View(efficientnet_v2_s(SHAPE, 1000).eval().requires_grad_(False))
    images, labels = torch.rand(count, *SHAPE), torch.arange(count) % 1000
    start = time.monotonic()
    if way == "view":
        view.gradient(images, labels, ce)
    else:
        torch.autograd.grad(ce(view(images.requires_grad_(True)), labels).sum(), images)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"way": way, "images": count, "MB": round(most), "seconds": round(time.monotonic() - start, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[8, 100], help="of a batch")
    parser.add_argument("--out", type=Path, help="the file that is written")
    parser.add_argument("--only", choices=WAYS, help="one row, as JSON: what the others are started with")
    told = parser.parse_args()
    if told.only:
        print(json.dumps(peak(told.only, told.images[0])))
        sys.exit()
    rows, start = [], time.monotonic()
    for way in WAYS:
        for count in told.images:
            command = [sys.executable, __file__, "--only", way, "--images", str(count)]
            rows.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
            print(rows[-1], flush=True)
    if told.out:
        keep(rows, told.out, torch.device("cpu"), time.monotonic() - start)
