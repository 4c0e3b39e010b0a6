"""The record of a run: one JSON file with configuration, metrics and provenance."""

import datetime
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import vqexp
from vqexp.core.components import EXECUTION
from vqexp.core.config import finite
from vqexp.core.keys import key_of
from vqexp.core.store import Artifact, Job, write_atomically
from vqexp.metrics import Measurement
from vqexp.pipeline.stages import Stages

PRESENTATION = ("table", "figure", "dry_run")  # settings of sweeps, not of runs
LIBRARIES = ("torch", "torchvision", "numpy", "pyautoattack", "hydra-core", "scikit-learn")


def record_key(stages: Stages) -> str:
    """Hash of the settings that matter, of foreign code, and of all artifacts that the numbers rest on."""
    experiment = stages.experiment
    settings = settings_that_matter(experiment.config)
    return key_of("record", settings, experiment.sources, experiment.versions, stages.ledger.used)


def settings_that_matter(config: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved config without what only says where, how and in which table to compute.

    What a preset fixes is in the components that it is for.
    """
    return {
        name: {k: v for k, v in value.items() if k not in EXECUTION} if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in ("store", "device", "logger", "preset", *PRESENTATION)
        and (name, value) != ("precision", "float32")  # as it was before there was a choice
    }


def write_record(
    stages: Stages, found: Measurement, facts: dict[str, Any], overrides: Sequence[str] = ()
) -> Path:
    """Write the record, and beside it the per-image counts; an existing one of the same key stays.

    Returns the record's path.
    """
    experiment = stages.experiment
    key = record_key(stages)
    path = experiment.store.root / "records" / f"{key}.json"
    if path.exists():
        return path
    experiment.store.fetch(Job("counts", key, lambda: Artifact(found.counts, {})))
    config = experiment.config
    record = {
        "key": key,
        "smoke": config["scale"]["name"] == "smoke",
        "config": {name: value for name, value in config.items() if name not in ("reported", *PRESENTATION)},
        "overrides": [text for text in overrides if not text.startswith(("reported=", "store.root="))],
        "classifier": stages.classifier_identity,
        "sources": experiment.sources,
        "metrics": {name: estimate.to_dict() for name, estimate in found.estimates.items()},
        "reported": config.get("reported"),
        "facts": facts,
        "counts": {
            "file": f"counts/{key}.safetensors",
            "images": key_of(*stages.ledger.used.get("adversarial", [])),
        },
        "artifacts": stages.ledger.used,
        "provenance": {
            **provenance(experiment.device, stages.ledger.seconds),
            "versions": experiment.versions,
            "training": stages.training_facts,
        },
    }
    write_atomically(path, (json.dumps(finite(record), indent=1) + "\n").encode())
    return path


def provenance(device: torch.device, seconds: dict[str, float]) -> dict[str, Any]:
    """Where the numbers come from. `seconds`: by stage, spent when its artifacts were made."""
    commit, dirty = _git()
    return {
        "version": vqexp.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _git() -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it) of the checkout that this code runs from; None if installed."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).parents[2]
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # an environment may lie in a checkout of something else
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
