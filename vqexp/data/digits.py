"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 that need no download."""

from functools import cache

import numpy as np
import torch

from vqexp.core.errors import require
from vqexp.data.base import Dataset
from vqexp.data.split import Arrays, Split


class Digits(Dataset):
    """1,437 training and 360 test images, (1, 8, 8), 10 classes; grey levels 0..16 become 0..1.

    The split is always the same and keeps the share of each class; `seed` only orders it.
    """

    def open(self, split: str) -> Split:
        require(self.shape == (1, 8, 8), f"digits' shape is {self.shape}; it must be (1, 8, 8)")
        require(self.num_classes == 10, f"digits' num_classes is {self.num_classes}; it must be 10")
        pixels, labels = _stored()
        rows = split_rows(labels, split)
        images = torch.from_numpy(pixels[rows]).float().div_(16).reshape(-1, 1, 8, 8)
        return Arrays(f"scikit-learn's digits ({split})", images, torch.from_numpy(labels[rows]))


@cache
def _stored() -> tuple[np.ndarray, np.ndarray]:
    """(pixels, labels) of all digits; a text file holds them, which takes long to read."""
    from sklearn.datasets import load_digits  # slow to import

    pixels, labels = load_digits(return_X_y=True)
    return pixels, labels


def split_rows(labels: np.ndarray, split: str) -> np.ndarray:
    """The rows of `load_digits` in a split, ascending; a random fifth of each class is for tests."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    test = np.sort(by_class[::5])
    return test if split == "test" else np.setdiff1d(by_class, test)
