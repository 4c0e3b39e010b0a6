"""Splits in folders: `<folder>/<class>/<image file>`, the classes in alphabetical order (ILSVRC's, too)."""

import hashlib
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from vqexp.data.encoded import Encoded, Form
from vqexp.data.images import Store
from vqexp.data.split import Split
from vqexp.errors import ConfigError, require

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class Folder(Split):
    """The images under `path`, sorted by class and file name as torchvision's ImageFolder has them."""

    def __init__(self, path: Path, num_classes: int, form: Form) -> None:
        self.name, self._path, self._num_classes, self._form = str(path), path, num_classes, form

    def check(self) -> None:
        # With a class left out, every label after it would silently be another one.
        require(
            len(self._classes) == self._num_classes,
            f"{self.name} has {len(self._classes)} class folders; it must have {self._num_classes}",
        )

    def fingerprint(self) -> str:
        """Over names and sizes only: reading 50,000 files would take minutes on a network disk."""
        digest = hashlib.sha256()
        for path, _ in self._files:
            digest.update(f"{path.relative_to(self._path)} {path.stat().st_size}\n".encode())
        return digest.hexdigest()

    def labels(self) -> Tensor:
        self.check()
        return torch.tensor([label for _, label in self._files], dtype=torch.int64)

    def read(self, rows: Tensor) -> Store:
        paths = [self._files[row][0] for row in rows.tolist()]
        names = [f"{path} (row {row})" for path, row in zip(paths, rows.tolist(), strict=True)]
        return Encoded(paths, names, self._form).settled()

    @cached_property
    def _classes(self) -> list[Path]:
        try:
            return sorted(entry for entry in self._path.iterdir() if entry.is_dir())
        except OSError as error:
            raise ConfigError(f"{self.name} cannot be read: {error.strerror}") from None

    @cached_property
    def _files(self) -> list[tuple[Path, int]]:
        try:
            return [
                (file, label)
                for label, folder in enumerate(self._classes)
                for file in sorted(folder.rglob("*"))
                if file.suffix.lower() in SUFFIXES
            ]
        except OSError as error:
            raise ConfigError(f"{self.name} cannot be read: {error.strerror}") from None
