"""The data sets that torchvision knows how to download, as arrays."""

import contextlib
import io
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from vqexp.core.errors import ConfigError, WorkError, one_line
from vqexp.data.split import Arrays

# name: torchvision's class, and where under a root its files for a split lie.
PUBLISHED = {
    "mnist": ("MNIST", {"train": "MNIST/raw", "test": "MNIST/raw"}),
    "cifar10": ("CIFAR10", {"train": "cifar-10-batches-py", "test": "cifar-10-batches-py"}),
    "cifar100": ("CIFAR100", {"train": "cifar-100-python", "test": "cifar-100-python"}),
    "svhn": ("SVHN", {"train": "train_32x32.mat", "test": "test_32x32.mat"}),
}


def is_there(name: str, root: Path, split: str) -> bool:
    """Whether torchvision's files for a split of a `PUBLISHED` data set seem to be under `root`."""
    return (root / PUBLISHED[name][1][split]).exists()


def published(name: str, root: Path, split: str, download: bool) -> tuple[Arrays, list[str]]:
    """A split as torchvision orders it, and the class names in label order.

    Raises ConfigError when the files are broken, WorkError when the download fails.
    """
    from torchvision import datasets  # slow to import

    make = getattr(datasets, PUBLISHED[name][0])
    which = {"split": split} if name == "svhn" else {"train": split == "train"}
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
            # Two processes must not write the same files; torchvision prints its tries on stdout.
            with FileLock(root / f".{name}.lock"), contextlib.redirect_stdout(io.StringIO()):
                data = make(str(root), download=True, **which)
        else:
            data = make(str(root), **which)
    except Exception as error:  # torchvision raises what urllib, tarfile, pickle and scipy raise
        if download:
            raise WorkError(f"{name} could not be downloaded: {one_line(error)}") from None
        raise ConfigError(f"torchvision's {name} under {root} cannot be read: {one_line(error)}") from None

    pixels = torch.as_tensor(np.asarray(data.data))
    if name == "mnist":  # (N, H, W)
        pixels = pixels.unsqueeze(1)
    elif name != "svhn":  # (N, H, W, C)
        pixels = pixels.permute(0, 3, 1, 2)
    labels = torch.as_tensor(np.asarray(data.labels if name == "svhn" else data.targets))
    named = name in ("cifar10", "cifar100")
    classes = list(data.classes) if named else [str(label) for label in range(10)]
    return Arrays(f"torchvision's {name} ({split}) under {root}", pixels, labels), classes
