"""All records as one table."""

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def default_root() -> Path:
    """The store: `VQEXP_HOME`, or `results/store`."""
    return Path(os.environ.get("VQEXP_HOME") or "results/store")


def records(source: str | Path | None = None) -> list[dict[str, Any]]:
    """The records of a store, or of a file with one a line such as `results/records.jsonl.gz`, as plain data.

    In the order of their keys; none if there is no such store or file.
    """
    source = Path(source or default_root())
    if source.suffix == ".gz":
        text = gzip.decompress(source.read_bytes()).decode() if source.exists() else ""
        return [json.loads(line) for line in text.splitlines()]
    return [json.loads(path.read_text()) for path in sorted((source / "records").glob("[!.]*.json"))]


def load(source: str | Path | None = None) -> "pd.DataFrame":
    """One row a record, columns such as `config.defense.k` and `metrics.robust_accuracy.mean`.

    source: a store, by default `VQEXP_HOME` or `results/store`, or a file with a record a line. An empty one
    gives an empty table.
    """
    import pandas as pd  # slow to import, and not needed by a run

    return pd.json_normalize(records(source))
