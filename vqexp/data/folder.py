"""Splits in folders: `<folder>/<class>/<image file>`, in the order of torchvision's ImageFolder."""

import hashlib
import os
import sys
from collections import Counter
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor

from vqexp.core.errors import require
from vqexp.core.files import file_error, hash_files
from vqexp.data.encoded import Encoded, Form
from vqexp.data.images import Pixels
from vqexp.data.split import Split

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # ImageFolder's, too


class Folder(Split):
    """The images under `path`, one folder a class, in the order of classes and then of files.

    Classes are sorted by name, as in ILSVRC, or as numbers if all are whole numbers: 2 comes before 10.
    Files are sorted by name, those of nested folders after those above them. What is hidden (names that
    start with a dot, `__MACOSX`) is left out. Other files are left out with a note on stderr.
    """

    def __init__(self, path: Path, num_classes: int, form: Form) -> None:
        self.name, self._path, self._num_classes, self._form = str(path), path, num_classes, form

    def check(self) -> None:
        # With a class left out, every label after it would silently be another one.
        require(
            len(self._classes) == self._num_classes,
            f"{self.name} has {len(self._classes)} class folders; it must have {self._num_classes}",
        )

    def fingerprint(self) -> str:
        """A hex sha256 over each image's label, name and contents."""
        digest = hashlib.sha256()
        hashes = hash_files(self.name, [path for path, _ in self._files])
        for (path, label), contents in zip(self._files, hashes, strict=True):
            digest.update(f"{label} {contents} ".encode() + os.fsencode(path.relative_to(self._path)) + b"\0")
        return digest.hexdigest()

    def labels(self) -> Tensor:
        self.check()
        return torch.tensor([label for _, label in self._files], dtype=torch.int64)

    def read(self, rows: Tensor) -> Pixels:
        paths = [self._files[row][0] for row in rows.tolist()]
        names = [f"{path} (row {row})" for path, row in zip(paths, rows.tolist(), strict=True)]
        return Encoded(paths, names, self._form).settled()

    @cached_property
    def _classes(self) -> list[Path]:
        try:
            folders = [entry for entry in self._path.iterdir() if entry.is_dir() and not _hidden(entry.name)]
        except OSError as error:
            raise file_error(self._path, error) from None
        folders.sort(key=lambda folder: folder.name)
        if not all(folder.name.isascii() and folder.name.isdigit() for folder in folders):
            return folders
        numbered = sorted(folders, key=lambda folder: int(folder.name))
        if numbered != folders:
            at = next(at for at, folder in enumerate(numbered) if folder != folders[at])
            _note(
                f"{self.name}: the classes are taken as numbers, so that label {at} is {numbered[at].name}; "
                f"sorted as text, as torchvision's ImageFolder does, it would be {folders[at].name}"
            )
        return numbered

    @cached_property
    def _files(self) -> list[tuple[Path, int]]:
        found, others = [], Counter[str]()
        for label, folder in enumerate(self._classes):
            for file in _files_under(folder):
                if file.suffix.lower() in SUFFIXES:
                    found.append((file, label))
                else:
                    others[file.suffix.lower() or "no ending"] += 1
        if others:
            _note(
                f"{self.name}: {others.total()} files are left out for their names' endings "
                f"({', '.join(sorted(others))}); images end in {', '.join(SUFFIXES)}"
            )
        return found


def _files_under(folder: Path) -> list[Path]:
    """All files that are not hidden, in the order in which ImageFolder has them."""

    def fail(error: OSError) -> None:
        raise file_error(Path(error.filename), error) from None

    found = []
    for at, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = [name for name in folders if not _hidden(name)]
        found.append((at, sorted(name for name in files if not _hidden(name))))
    return [Path(at, name) for at, names in sorted(found) for name in names]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


@cache
def _note(line: str) -> None:
    """Say it on stderr, once a process."""
    print(f"note: {line}", file=sys.stderr)
