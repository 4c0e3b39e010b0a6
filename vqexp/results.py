"""All records as one table."""

import json
import os
from pathlib import Path

import pandas as pd


def load(root: str | Path | None = None) -> pd.DataFrame:
    """One row a record, columns such as `config.defense.k` and `metrics.robust_accuracy.mean`.

    root: the store; by default `VQEXP_HOME` or `results/store`. An empty store gives an empty table.
    """
    folder = Path(root or os.environ.get("VQEXP_HOME") or "results/store") / "records"
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("[!.]*.json"))]
    return pd.json_normalize(records)
