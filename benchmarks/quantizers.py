"""Milliseconds an image of every quantizer, by batch size and device.

    python benchmarks/quantizers.py --batch-sizes 1 50 500 --devices cpu cuda

Images are tiles of scikit-learn's two sample photographs, so no download is needed.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.defenses import PRD, RandDisc, SwRD, VectorQuantizer

NOISE: dict[str, Any] = {"sigma": 4 / 255, "tau": 4 / 255}


def quantizers(size: int) -> list[VectorQuantizer]:
    """The papers' settings for images of this size."""
    if size == 28:
        return [RandDisc(k=2, **NOISE), PRD(s=2, k=2, **NOISE), SwRD(s=2, k=2, beta=5, **NOISE)]
    k = 25 if size == 32 else 30
    return [RandDisc(k=10, **NOISE), PRD(s=2, k=50, **NOISE), SwRD(s=3, k=k, beta=2, **NOISE)]


def tiles(size: int, count: int) -> Tensor:
    """`count` square tiles of the photographs, grey at 28 pixels, repeated when there are too few."""
    photographs = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2) / 255
    cut = photographs.unfold(2, size, size).unfold(3, size, size)
    images = cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    if size == 28:
        images = images.mean(1, keepdim=True)
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count].contiguous()


def milliseconds(quantizer: VectorQuantizer, images: Tensor, repeats: int) -> float:
    """The shortest of `repeats` runs on different draws, after one to warm up, for each image."""
    times = []
    for number in range(repeats + 1):
        start = time.perf_counter()
        quantizer(images, Draw("report", number)).sum().item()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:]) / len(images)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 32, 328], choices=[28, 32, 328])
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", default=devices)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-megapixels", type=float, default=2.0, help="skip larger batches on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = [f"batch {size}" for size in options.batch_sizes]
    print(f"{'ms/image':<44}" + "".join(f"{column:>12}" for column in columns))
    for device in options.devices:
        for size in options.sizes:
            for quantizer in quantizers(size):
                row = (
                    f"{device:<5}{size:>4} px  {type(quantizer).__name__:<9}s {quantizer.s}  k {quantizer.k}"
                )
                print(f"{row:<44}", end="", flush=True)
                for batch in options.batch_sizes:
                    if device == "cpu" and batch > 1 and batch * size**2 > 1e6 * options.max_megapixels:
                        cell = "-"
                    else:
                        images = tiles(size, batch).to(device)
                        cell = f"{milliseconds(quantizer, images, options.repeats):.3f}"
                    print(f"{cell:>12}", end="", flush=True)
                print()


if __name__ == "__main__":
    main()
