"""Objects of this process that a config names, such as the model that `vqexp.audit` was given.

A config is plain data and names what it wants by a `_target_` to import. What exists only as an object is
kept here under a name made of its contents and its source code, so that the same object finds its results
again.
"""

import hashlib
import inspect
import io
import pickle
import uuid
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqexp.core.errors import ConfigError
from vqexp.core.files import sha256_of_file
from vqexp.core.keys import key_of
from vqexp.core.sources import origins

_held: dict[str, Any] = {}


def hold(thing: Any) -> str:
    """Keeps `thing`, as it is, until the process ends; returns its name.

    What cannot be told apart by its contents, such as a lambda, or has no source, such as a class typed into
    a notebook, gets a new name each time: no result of it is found again.
    """
    try:
        name = f"held-{key_of(_contents(thing), _code(thing))}"
    except Exception:  # whatever an object that is not ours raises when it is pickled
        name = f"held-{uuid.uuid4().hex}"
    _held[name] = thing
    return name


def held(name: str) -> Any:
    """What was kept under this name. Raises `ConfigError` if it was in another process."""
    if name not in _held:
        raise ConfigError(f"{name} was an object of another Python process; give it to vqexp.audit again")
    return _held[name]


class _Pickler(pickle.Pickler):
    """Pickles tensors as a hash of their values: torch's own pickle of one contains its address."""

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return None
        values = obj.detach().cpu().contiguous().flatten()
        digest = hashlib.sha256(values.view(torch.uint8).numpy().tobytes() if len(values) else b"")
        return [type(obj).__name__, str(obj.dtype), list(obj.shape), digest.hexdigest()]


def _contents(thing: Any) -> str:
    text = io.BytesIO()
    _Pickler(text, protocol=4).dump(thing)
    return hashlib.sha256(text.getvalue()).hexdigest()


def _code(thing: Any) -> list[Any]:
    """Packages, and hashes of the user's own source files, that the classes of a module's parts are from."""
    found: set[str] = set()
    for kind in {type(part) for part in thing.modules()} if isinstance(thing, nn.Module) else ():
        packages, modules = origins(kind)
        found |= packages
        found |= {sha256_of_file(Path(inspect.getfile(module))) for module in modules}
    return sorted(found)
