"""vqexp: reproduce and stress-test preprocessing and randomized adversarial defenses."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqexp import results
    from vqexp.certificates import certify
    from vqexp.defenses import defend
    from vqexp.interface.audit import audit
    from vqexp.interface.evaluate import evaluate
    from vqexp.results import load

# Before torch is loaded: threads that spin while they wait make a busy machine ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.2.0"
__all__ = ["__version__", "audit", "certify", "defend", "evaluate", "load", "results"]
HOMES = {
    "audit": "vqexp.interface",
    "certify": "vqexp.certificates",
    "defend": "vqexp.defenses",
    "evaluate": "vqexp.interface",
    "load": "vqexp.results",
}


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when first used: torch is slow to load, and `--help` needs none."""
    if name == "results":
        return importlib.import_module("vqexp.results")
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    raise AttributeError(f"module 'vqexp' has no attribute {name!r}")
