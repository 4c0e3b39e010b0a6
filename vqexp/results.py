"""All records as one table."""

from pathlib import Path
from typing import TYPE_CHECKING

from vqexp.core.store import default_root

if TYPE_CHECKING:
    import pandas as pd

    from vqexp.pipeline.record import Record


def records(source: str | Path | None = None, *, strict: bool = True) -> "list[Record]":
    """The records of a store, or of a file with one a line such as `results/records.jsonl.gz`.

    In the order of their keys; none if there is no such store or file. Older ones come in today's format.
    Raises `ConfigError`, naming the file, for one that is damaged or no record; with `strict=False` it is
    named on stderr and left out.
    """
    from vqexp.pipeline.reading import read_all  # torch is slow to import

    return read_all(source or default_root(), strict=strict)


def load(source: str | Path | None = None) -> "pd.DataFrame":
    """One row a record, columns such as `config.defense.k` and `metrics.robust_accuracy.mean`.

    source: a store, by default `VQEXP_HOME` or `results/store`, or a file with a record a line. An empty one
    gives an empty table.
    """
    import pandas as pd  # slow to import, and not needed by a run

    return pd.json_normalize([record.plain() for record in records(source)])
