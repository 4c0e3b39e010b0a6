"""A benchmark's rows in a file, with the command, the machine and the versions."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from vqexp.pipeline.provenance import provenance


def keep(rows: Any, path: Path, device: torch.device, seconds: float, **more: Any) -> None:
    """Writes `rows`, what made them, and `more` as JSON to `path`. seconds: that they took."""
    told = provenance(device, {"all": seconds})
    kept = {
        "command": " ".join(["python", *sys.argv]),
        **more,
        "device": told["device"],
        "system": platform.platform(),
        "load": os.getloadavg()[0],
        **{name: told[name] for name in ("date", "commit", "libraries", "seconds")},
        "rows": rows,
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")
