"""All records as one table."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def default_root() -> Path:
    """The store: `VQEXP_HOME`, or `results/store`."""
    return Path(os.environ.get("VQEXP_HOME") or "results/store")


def records(root: str | Path | None = None) -> list[dict[str, Any]]:
    """The records of a store as plain data, in the order of their keys."""
    folder = Path(root or default_root()) / "records"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("[!.]*.json"))]


def load(root: str | Path | None = None) -> "pd.DataFrame":
    """One row a record, columns such as `config.defense.k` and `metrics.robust_accuracy.mean`.

    root: the store; by default `VQEXP_HOME` or `results/store`. An empty store gives an empty table.
    """
    import pandas as pd  # slow to import, and not needed by a run

    return pd.json_normalize(records(root))
