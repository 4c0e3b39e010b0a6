"""Records made up for tests: whole ones, with the parts that a test is about."""

from vqexp.core.estimate import Estimate
from vqexp.pipeline.record import Record

DIGITS = {"name": "digits", "n": 8, "num_classes": 10}
PROVENANCE = {
    "commit": "a" * 40,
    "dirty": False,
    "libraries": {"torch": "2"},
    "device": "cpu",
    "seconds": {},
    "date": "2026-01-01T00:00",
}


def estimate(mean=0.5, n=8, runs=1, **more):
    """An estimate with an interval that says nothing."""
    return Estimate(**{"mean": mean, "std": 0.0, "runs": runs, "n": n, "ci95": (0.0, 1.0), **more})


def record(config=None, provenance=None, **parts):
    """A record of digits behind pRD; `config` by group, and `parts`, replace what there is."""
    settings = {
        "scale": {"name": "cpu"},
        "dataset": DIGITS,
        "preset": {"eps": 0.2},
        "defense": {"_target_": "vqexp.defenses.PRD", "s": 2, "k": 4},
    }
    given = {
        "key": "0123",
        "smoke": False,
        "overrides": [],
        "classifier": {"_target_": "f", "checkpoint": "0123"},
        "metrics": {},
        "reported": None,
        "facts": {},
    }
    made = {"config": {**settings, **(config or {})}, "provenance": {**PROVENANCE, **(provenance or {})}}
    return Record(**{**given, **made, **parts})
