"""What a checkpoint file holds: sets of named tensors, wherever a training script put them."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from vqexp.core.errors import ConfigError, MissingError, require

CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "ema", "model_ema", "state_dict_ema")


@dataclass(frozen=True)
class Weights:
    """tensors: by name, on the CPU. where: the containers around them, as in `ema.state_dict`; "" for none.

    beside: what else the file holds, in the same map or around it, by name.
    """

    tensors: dict[str, Tensor]
    where: str
    beside: dict[str, Any]


def read_weights(path: Path) -> list[Weights]:
    """All sets of tensors in `path`: those in a container of `CONTAINERS`, or else the file's own.

    The file is `.safetensors`, or what `torch.save` wrote. Only tensors are read, never code. Raises
    `MissingError` if it is absent, `ConfigError` if it is broken, needs code or holds no named tensors.
    """
    content = _content(path)
    found = _sets(content, "", {}) if isinstance(content, Mapping) else []
    require(
        found,
        f"{path} is not a checkpoint: it must map parameter names to tensors, by itself or under one of "
        f"{', '.join(CONTAINERS)}",
    )
    return found


def _content(path: Path) -> Any:
    if not path.is_file():
        raise MissingError(f"there is no checkpoint file {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of several lines; what matters in them is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise whatever a broken byte leads them to
        code = re.search(r"\bGLOBAL (\S+)|(TorchScript)", str(error))
        if code:
            raise ConfigError(
                f"{path} holds objects of {code[1] or code[2]}, and vqexp reads weights alone, never code; "
                "save them where you trust the file: torch.save(model.state_dict(), FILE)"
            ) from error
        raise ConfigError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): it must be a whole .safetensors "
            "file, or a state dict of plain tensors written by torch.save"
        ) from error


def _sets(content: Mapping[Any, Any], where: str, beside: dict[str, Any]) -> list[Weights]:
    """The sets in `content`, which lies in the containers `where`, with `beside` around them."""
    inner = {name: content[name] for name in CONTAINERS if isinstance(content.get(name), Mapping)}
    named = {name: value for name, value in content.items() if isinstance(name, str) and name not in inner}
    if inner:
        around = beside | named
        return [found for name in inner for found in _sets(inner[name], f"{where}.{name}", around)]
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    others = {name: value for name, value in named.items() if name not in tensors}
    return [Weights(tensors, where.removeprefix("."), beside | others)] if tensors else []
