"""Read and write a classifier's parameters, and refuse a file that does not fit in one clear line."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vqexp.classifiers.normalize import Normalized
from vqexp.errors import ConfigError, MissingError, WorkError, one_line, require


def load_checkpoint(classifier: nn.Module, path: str | Path) -> None:
    """Copy the parameters and buffers in `path` into `classifier`, each cast to the dtype it has there.

    The file is `.safetensors`, or what `torch.save` wrote of a state dict, bare or under "state_dict"; names
    may all begin with "module.". Of a `Normalized` classifier the file holds the network alone. Only tensors
    are read, never code. Raises `ConfigError` if the file is absent, broken, or fits another network; nothing
    has changed then.
    """
    network = _network(classifier)
    found = _read(Path(path))
    _check_fit(network, found, str(path))
    network.load_state_dict(found)


def save_checkpoint(classifier: nn.Module, path: str | Path) -> None:
    """Write the parameters and buffers of `classifier` to `path`, as safetensors.

    The file is complete or absent. Raises `WorkError` if it cannot be written.
    """
    tensors = _network(classifier).state_dict()
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(copies, unfinished)
        os.replace(unfinished, path)
    except Exception as error:  # safetensors has its own error for a full disk
        with suppress(OSError):
            unfinished.unlink()
        raise WorkError(f"the checkpoint {path} cannot be written: {one_line(error)}") from error


def _network(classifier: nn.Module) -> nn.Module:
    return classifier.network if isinstance(classifier, Normalized) else classifier


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`, on the CPU."""
    if not path.is_file():
        raise MissingError(f"there is no checkpoint file {path}")
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise whatever a broken byte leads them to
        raise ConfigError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): it must be a whole .safetensors "
            "file, or a state dict of plain tensors written by torch.save"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    require(
        isinstance(content, Mapping)
        and content
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()),
        f"{path} is not a checkpoint: it must map parameter names to tensors",
    )
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(prefix): value for name, value in content.items()}


def _check_fit(network: nn.Module, found: dict[str, Tensor], path: str) -> None:
    """Raise `ConfigError` on the first point where `found` is not a state dict of `network`."""
    expected = network.state_dict()
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    head = f"{linear[-1]}.weight" if linear else ""
    if head in found and found[head].ndim == 2:
        classes, wanted = len(found[head]), len(expected[head])
        require(classes == wanted, f"{path} has {classes} classes, the dataset has {wanted}")
    for name, value in expected.items():
        shape = tuple(value.shape)
        require(name in found, f"{path} lacks {name}, of shape {shape}: it is of another classifier")
        other = tuple(found[name].shape)
        require(other == shape, f"{path}: {name} has shape {other}, the classifier expects {shape}")
        require(found[name].isfinite().all(), f"{path}: {name} has values that are not finite")
    extra = next((name for name in found if name not in expected), None)
    require(extra is None, f"{path} has {extra}, which the classifier does not: it is of another classifier")
