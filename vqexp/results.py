"""All records as one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqexp.core.store import default_root

if TYPE_CHECKING:
    import pandas as pd

    from vqexp.pipeline.record import Record

AXES = ("dataset", "defense", "adversary", "attack")  # columns that are always there, first
MEASURED = ("metric", "mean", "std", "low", "high", "runs", "n", "unit", "title", "reported", "smoke", "key")


def records(source: str | Path | None = None, *, strict: bool = True) -> "list[Record]":
    """The records of a store, or of a file with one a line such as `results/records.jsonl.gz`.

    In the order of their keys; none if there is no such store or file. Older ones come in today's format.
    Raises `ConfigError`, naming the file, for one that is damaged or no record; with `strict=False` it is
    named on stderr and left out.
    """
    from vqexp.pipeline.reading import read_all  # torch is slow to import

    return read_all(source or default_root(), strict=strict)


def load(source: str | Path | None = None) -> "pd.DataFrame":
    """All records as a tidy table: one row for each metric of a record.

    The first columns are the settings: the dataset, the defense, the adversary and the attack by name, then
    each setting that varies between the records, such as `defense.k`. The last ones are the measurement:
    `metric`, `mean`, `std`, the 95 % interval from `low` to `high`, `runs`, `n` (images), what a paper
    reports (`reported`), and the record's `key`. Accuracies are fractions in [0, 1].

    source: a store, by default `VQEXP_HOME` or `results/store`, or a file with a record a line. An empty one
    gives an empty table. Raises as `records` does.
    """
    import pandas as pd  # slow to import, and not needed by a run

    frame = pd.DataFrame([row for record in records(source) for row in _rows(record)])
    settings = [name for name in frame.columns if name not in (*AXES, *MEASURED)]
    varying = [name for name in settings if frame[name].nunique() > 1]
    return frame.reindex(columns=[*AXES, *varying, *MEASURED])


def _rows(record: "Record") -> "list[dict[str, Any]]":
    """The record's rows: one for each metric."""
    from vqexp.pipeline.flat import flat_settings

    settings, cell = flat_settings(record), record.reported
    rows = []
    for name, estimate in record.metrics.items():
        reported = (
            cell.mean / estimate.scale if cell and cell.mean is not None and cell.metric == name else None
        )
        measured = {
            **{"metric": name, "mean": estimate.mean, "std": estimate.std},
            **{"low": estimate.ci95[0], "high": estimate.ci95[1], "runs": estimate.runs, "n": estimate.n},
            **{"unit": estimate.unit, "title": estimate.title, "reported": reported},
            **{"smoke": record.smoke, "key": record.key},
        }
        rows.append({**settings, **measured})
    return rows
