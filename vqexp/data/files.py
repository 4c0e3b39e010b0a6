"""Data sets in files: parquet, folders of images, or what torchvision downloads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vqexp.core.errors import MissingError, one_of, require
from vqexp.data.base import Dataset, whole
from vqexp.data.columns import NAMES
from vqexp.data.decode import MODES
from vqexp.data.encoded import INTERPOLATIONS, Form
from vqexp.data.folder import Folder
from vqexp.data.parquet import Parquet
from vqexp.data.published import PUBLISHED, is_there, published
from vqexp.data.shards import find_parquet
from vqexp.data.split import Split

SHIPPED = (*PUBLISHED, "imagenet")  # those that have a config of their own


class ImageFiles(Dataset):
    """A data set under `<root>`. For a split, the first of these that exists is read:

    1. for each of its file names (`files`, by default the split's own name) the parquet file
       `<root>/<name>/<file>.parquet`, then the shards `<file>-00000-of-00002.parquet` and so on in
       `<root>/<name>` or a folder in it, then the folder `<root>/<name>/<file>/<class>/*`;
    2. torchvision's files under `<root>`, downloaded first if `download` is set.
    """

    def __init__(
        self,
        *,
        name: str,
        shape: Sequence[int],
        num_classes: int,
        seed: int = 0,
        n: int | None = None,
        train_n: int | None = None,
        root: str | None = None,
        download: bool = False,
        resize: int | None = None,
        crop: int | None = None,
        files: Mapping[str, str | Sequence[str]] | None = None,
        columns: Mapping[str, str | None] | None = None,
        interpolation: str = "bilinear",
    ) -> None:
        """Take `Dataset`'s settings and these.

        Args:
            root: the folder that holds all data sets.
            download: let torchvision download what is absent (MNIST, CIFAR-10, CIFAR-100, SVHN).
            resize, crop: as in `Form`, for parquet files and folders; the crop must agree with `shape`.
            files: file names, without ending, to look for in place of "train" or "test".
            columns: names of the parquet files' columns "image" and "label"; None, for one or for both, finds
                it if its name or Hugging Face's schema leaves no doubt.
            interpolation: of the resize, "bilinear" or "bicubic".

        Raises ConfigError, naming what is allowed.
        """
        super().__init__(name=name, shape=shape, num_classes=num_classes, seed=seed, n=n, train_n=train_n)
        channels, height, width = self.shape
        require(channels in MODES, f"{self.name}'s shape has {channels} channels; it must have 1 or 3")
        for what, size in (("resize", resize), ("crop", crop)):
            if size is not None:
                whole(f"{name}'s {what}", size, 1, "or null")
        require(
            crop is None or height == width == crop,
            f"{self.name}'s crop is {crop} but its shape {self.shape}; height and width must be the crop",
        )
        require(
            resize is None or crop is None or resize >= crop,
            f"{self.name}'s resize is {resize}; it must be at least its crop, {crop}",
        )
        one_of(f"{name}'s interpolation", interpolation, INTERPOLATIONS)
        self.columns = dict(columns or {})
        require(
            set(self.columns) <= set(NAMES)
            and all(column is None or isinstance(column, str) for column in self.columns.values()),
            f"{self.name}'s columns are {self.columns}; there are image and label, each a name or null",
        )
        self.root = Path(root).expanduser() if root else None
        self.download, self.form = download, Form(self.shape, resize, crop, interpolation)
        self.files = dict(files or {})

    def open(self, split: str) -> Split:
        root = self.root
        if root is None:
            raise MissingError(f"{self.name} needs dataset.root or VQEXP_DATA: {self._help(split)}")
        for file in self._names(split):
            paths = find_parquet(root / self.name, file)
            if paths:
                return Parquet(paths, self.form, self.num_classes, self.columns)
            folder = root / self.name / file
            if folder.is_dir():
                return Folder(folder, self.num_classes, self.form)
        if self.name in PUBLISHED and (self.download or is_there(self.name, root, split)):
            arrays, _ = published(self.name, root, split, self.download)
            require(
                arrays.shape == self.shape,
                f"{arrays.name} has images of shape {arrays.shape}; the data set declares {self.shape}",
            )
            return arrays
        raise MissingError(f"{self.name}'s {split} images are not under {root}: {self._help(split)}")

    def _help(self, split: str) -> str:
        chosen = self.name if self.name in SHIPPED else f"files dataset.name={self.name}"
        command = f"python run.py dataset={chosen}"
        files = [f"DIR/{self.name}/{file}" for file in self._names(split)]
        offline = f"`VQEXP_DATA=DIR {command}` reads {' or '.join(f'{file}.parquet' for file in files)}"
        if self.name in PUBLISHED:
            return f"`{command} dataset.root=DIR dataset.download=true` downloads it; {offline}"
        folders = " or ".join(f"{file}/CLASS/" for file in files)
        return f"torchvision cannot download it; {offline}, or image files in {folders}"

    def _names(self, split: str) -> Sequence[str]:
        """The file names, without ending, that `split` may have."""
        names = self.files.get(split, split)
        return [names] if isinstance(names, str) else names
