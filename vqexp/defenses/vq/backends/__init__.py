"""What computes a quantizer, chosen by device, dtype and shape: one file a backend."""

import importlib
import importlib.metadata

import torch

from vqexp.core.errors import ConfigError
from vqexp.core.notes import note
from vqexp.defenses.vq.backends.base import Backend

# by name, the device that each is for; `auto` takes the first that can run
BACKENDS = {"triton": "cuda", "numba": "cpu", "torch": "any"}
NAMES = ("auto", *BACKENDS)
_loaded: dict[str, Backend | ImportError] = {"torch": Backend()}


def load(name: str) -> Backend | ImportError:
    """The backend of that name, or the error if its library cannot be imported.

    Each but torch is a module of this package, with a class `Best`.
    """
    if name not in _loaded:
        try:
            _loaded[name] = importlib.import_module(f"{__name__}.{name}").Best()
        except ImportError as error:
            _loaded[name] = error
    return _loaded[name]


def choose(wanted: str, n: int, d: int, k: int, device: torch.device, dtype: torch.dtype) -> Backend:
    """The backend that is `wanted`, or for `auto` the first that can: n points of dimension d, k clusters.

    Raises `ConfigError` if the one that is wanted cannot run.
    """
    for name in BACKENDS if wanted == "auto" else (wanted,):
        if BACKENDS[name] not in (device.type, "any"):
            reason: str | None = f"it runs on {BACKENDS[name]}, not on {device.type}"
        elif isinstance(found := load(name), ImportError):
            reason = f"it cannot be imported ({found})"
            if wanted == "auto":
                note(f"quantizers run on torch, which is slower: {name} cannot be imported ({found})")
        else:
            reason = found.refusal(n, d, k, dtype)
            if reason is None:
                return found
    raise ConfigError(f"defense.backend is {wanted!r}, and {reason}; choose auto or torch")


def description(backend: Backend) -> str:
    """The backend's name and its library's version, for the record."""
    return f"{backend.name} {importlib.metadata.version(backend.name)}"
