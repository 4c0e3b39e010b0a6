"""Where the parquet files of a split lie: one file, or the numbered shards of a Hugging Face repository."""

import re
from collections.abc import Sequence
from pathlib import Path

from vqexp.core.errors import require
from vqexp.core.files import file_error


def find_parquet(folder: Path, split: str) -> list[Path]:
    """The files of `split` in the order of their rows; none if there is none.

    `<folder>/<split>.parquet`, or else, in `folder` or a folder in it such as `data`, the shards
    `<split>-00000-of-00002.parquet` and so on, whose names may have a hash before the ending. Raises
    ConfigError, naming them, for shards that are missing, and for several folders with shards.
    """
    single = folder / f"{split}.parquet"
    if single.exists() or not folder.is_dir():
        return [single] if single.exists() else []
    try:
        inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        places = [place for place in (folder, *inner) if not place.name.startswith(".")]
        found = {place: shards for place in places if (shards := _shards(place, split))}
    except OSError as error:
        raise file_error(Path(error.filename), error) from None
    require(
        len(found) <= 1,
        f"{split}'s shards are in each of {', '.join(map(str, found))}; they must be in one of them alone",
    )
    return next(iter(found.values()), [])


def _shards(place: Path, split: str) -> list[Path]:
    """The shards in the folder `place`, by number; checked to be whole."""
    pattern = re.compile(rf"{re.escape(split)}-(\d{{5}})-of-(\d{{5}})(?:-[0-9a-f]{{16}})?\.parquet")
    matches = [match for entry in sorted(place.iterdir()) if (match := pattern.fullmatch(entry.name))]
    if not matches:
        return []
    numbers, totals = [int(match[1]) for match in matches], sorted({int(match[2]) for match in matches})
    require(len(totals) == 1, f"{place} has shards of {split} {' and '.join(f'of {n}' for n in totals)}")
    total = totals[0]
    absent = sorted(set(range(total)) - set(numbers))
    require(not absent, f"{place} lacks {_names(split, absent, total)}")
    require(len(numbers) == total, f"{place} has {len(numbers)} shards of {split}; it must have {total}")
    return [place / match.string for match in matches]


def _names(split: str, numbers: Sequence[int], total: int) -> str:
    """The first three shards' names, and how many more there are."""
    names = [f"{split}-{number:05}-of-{total:05}.parquet" for number in numbers[:3]]
    more = len(numbers) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
