"""Where a store is: a folder, or object storage such as `s3://bucket/prefix`.

A place in object storage is a `upath.UPath`, which does what a `Path` does by asking fsspec. Listings are not
cached: what another machine has written is seen at once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from vqexp.core.errors import ConfigError, MissingError, one_line
from vqexp.core.keys import key_of

CLIENTS = ("botocore", "aiobotocore", "aiohttp", "google", "azure")  # packages that speak to object storage


def place(root: str | Path) -> Path:
    """The folder or the place in object storage that `root` names; what is a path already stays.

    Raises `ConfigError` for storage that fsspec does not know, `MissingError` if a package for it is missing.
    """
    if not isinstance(root, str) or "://" not in root:
        return Path(root) if isinstance(root, str) else root
    kind = root.partition("://")[0]
    try:
        from upath import UPath

        return cast(Path, UPath(root, use_listings_cache=False))
    except ImportError:
        extra = "'vqexp[s3]'" if kind == "s3" else f"'vqexp[s3]', and fsspec's package for {kind}"
        raise MissingError(f"{root} needs an extra: pip install {extra}") from None
    except ValueError as error:
        raise ConfigError(f"{root} is no folder, nor storage that fsspec knows: {one_line(error)}") from None


def is_remote(path: Path) -> bool:
    """Whether it is in object storage, which has no folders, and where what is written is whole or absent."""
    return not isinstance(path, Path)


def make_folder(path: Path) -> None:
    """Make the folder and those above it; object storage has none."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)


def local_folder(root: str | Path) -> Path:
    """`root`; for object storage a folder of this machine for what grows piece by piece, such as logs."""
    found = place(root)
    if not is_remote(found):
        return found
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "vqexp" / key_of(str(found))


def is_storages(error: Exception) -> bool:
    """Whether a client of object storage raised it: no credentials, no connection, and the like."""
    return type(error).__module__.partition(".")[0] in CLIENTS


def read_bytes(path: Path) -> bytes:
    """The contents; of an object in one request, as it may be replaced between two."""
    remote: Any = path
    return bytes(remote.fs.cat_file(remote.path)) if is_remote(path) else path.read_bytes()


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """The file itself, or a temporary copy of what is in object storage."""
    if not is_remote(path):
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(read_bytes(path))
        yield copy
