"""The one reader of all records, new and old: whole ones, and what is left of damaged files."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vqexp.core.errors import ConfigError
from vqexp.core.files import file_error
from vqexp.core.keys import key_of
from vqexp.core.notes import note
from vqexp.core.places import is_remote, place, read_bytes
from vqexp.pipeline.older import upgraded
from vqexp.pipeline.record import Record

SEAL = "checksum"  # a field of a record as it is written, over all others

AT_ONCE = 32  # records that are asked of object storage
LOOKED_AT = (("scale", "name"), ("dataset", "name"), ("dataset", "n"), ("defense", "_target_"))


def sealed(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A record, as JSON holds it, with its checksum."""
    return {**plain, SEAL: key_of(plain)}


def record_from(text: str, where: str, *, seal_needed: bool = False) -> Record:
    """The record that `text` holds, of today's format or an older one.

    Raises `ConfigError`, naming `where` the text is from, if it is damaged or no record. Records that were
    written before there were checksums have none; `seal_needed` refuses those too.
    """
    try:
        raw = json.loads(text)
        if not isinstance(raw, dict):
            raise ValueError(f"it is a {type(raw).__name__}")
        seal = raw.pop(SEAL, None)
        if seal != key_of(raw) and (seal_needed or seal is not None):
            raise ValueError("its checksum is not that of its contents")
        return _with_groups(Record(**upgraded(raw)))
    except ValidationError as error:
        first, place = error.errors()[0], ".".join(map(str, error.errors()[0]["loc"]))
        reason = f"{place}: {first['msg']}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    raise ConfigError(f"{where} is no record of a run, or damaged ({reason})")


def _with_groups(record: Record) -> Record:
    """The record, in whose config there is what every reader of records looks at."""
    for group, name in LOOKED_AT:
        if not isinstance(record.config.get(group), Mapping) or name not in record.config[group]:
            raise ValueError(f"it has no {group}.{name}")
    return record


def read(path: str | Path) -> Record:
    """The record in a file; raises as `record_from` does."""
    try:
        text = read_bytes(place(path)).decode(errors="replace")
    except OSError as error:
        raise file_error(place(path), error) from None
    return record_from(text, str(path))


def read_all(source: str | Path, *, strict: bool = True) -> list[Record]:
    """The records of a store, or of a file with one a line such as `results/records.jsonl.gz`.

    In the order of their keys; none if there is no such store or file. What is damaged or no record raises
    `ConfigError`, as `record_from` does; with `strict=False` it is named on stderr and left out.
    """
    source, found = place(source), []
    for attempt in _lines(source, strict) if source.suffix == ".gz" else _files(source):
        try:
            found.append(attempt())
        except ConfigError as error:
            if strict:
                raise
            note(f"{error}; it is left out")
    return found


def _files(store: Path) -> Iterator[Any]:
    paths = sorted((store / "records").glob("[!.]*.json"))
    if not is_remote(store):
        yield from (partial(read, path) for path in paths)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:  # a single answer takes long
        yield from [pool.submit(read, path).result for path in paths]


def _lines(source: Path, strict: bool) -> Iterator[Any]:
    if not source.exists():
        return
    try:
        text, whole = gzip.decompress(source.read_bytes()), True
    except (OSError, EOFError, ValueError, zlib.error) as error:
        if strict:
            raise ConfigError(f"{source} cannot be read ({error})") from None
        note(f"{source} is damaged ({error}); what of it has a checksum and is whole is taken")
        text, whole = b"".join(_salvaged(source)), False
    for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
        where = f"{source}, line {number},"
        yield lambda line=line, where=where: record_from(line, where, seal_needed=not whole)


def _salvaged(source: Path) -> Iterable[bytes]:
    """What can be unpacked before the damage."""
    try:
        data, unpack = source.read_bytes(), zlib.decompressobj(wbits=31)
        for start in range(0, len(data), 1024):
            yield unpack.decompress(data[start : start + 1024])
    except (OSError, zlib.error):
        return
