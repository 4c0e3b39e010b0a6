"""Where the numbers of a run come from: versions, commit, device, seconds, date."""

import datetime
import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

import vqexp

LIBRARIES = ("torch", "torchvision", "numpy", "pyautoattack", "hydra-core", "scikit-learn")


def provenance(device: torch.device, seconds: dict[str, float]) -> dict[str, Any]:
    """Where the numbers come from. `seconds`: by stage, spent when its artifacts were made."""
    commit, dirty = _git()
    return {
        "version": vqexp.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": device_name(device),
        **({"tf32": torch.backends.cudnn.allow_tf32} if device.type == "cuda" else {}),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    """What records call it; a CPU with the number of threads."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu()


@cache
def _git() -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it) of the checkout that this code runs from; None if installed.

    Asked once a process, whose code stays what it was.
    """

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
