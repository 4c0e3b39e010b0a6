"""Download a data set and keep it as parquet files."""

import tempfile
from pathlib import Path

import torch

from vqexp.core.errors import WorkError, one_of
from vqexp.data.base import SPLITS
from vqexp.data.parquet import write_parquet
from vqexp.data.published import PUBLISHED, is_there, published


def fetch(name: str, root: str | Path) -> list[Path]:
    """Write `<root>/<name>/train.parquet` and `test.parquet`, losslessly and in torchvision's order.

    Torchvision's files under `root` are used if they are there, else downloaded and removed again. A split
    whose parquet file exists is left alone. Returns the paths. Raises ConfigError for a name that torchvision
    cannot download or for broken files, WorkError when the download or the writing fails.
    """
    one_of("the data set", name, PUBLISHED)
    root = Path(root).expanduser()
    paths = {split: root / name / f"{split}.parquet" for split in SPLITS}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}.") as temporary:
            for split, path in paths.items():
                if path.exists():
                    continue
                here = is_there(name, root, split)
                arrays, classes = published(name, root if here else Path(temporary), split, not here)
                labels = arrays.labels()
                write_parquet(path, arrays.read(torch.arange(len(labels))), labels, classes)
    except OSError as error:
        raise WorkError(f"{name} could not be written to {root}: {error.strerror or error}") from None
    return list(paths.values())
