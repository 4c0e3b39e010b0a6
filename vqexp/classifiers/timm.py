"""The networks of timm (https://github.com/huggingface/pytorch-image-models), by name."""

from collections.abc import Sequence
from http.client import HTTPException

from torch import nn

from vqexp.classifiers.normalize import Normalized
from vqexp.core.errors import ConfigError, MissingError, one_line, require


def timm(shape: Sequence[int], num_classes: int, name: str, pretrained: bool = False) -> Normalized:
    """timm's network `name` behind the normalization that its `pretrained_cfg` names.

    pretrained: with its published weights, downloaded once. Takes images (N, C, H, W) in [0, 1] with C from
    `shape` (C, H, W), returns logits (N, num_classes). A normalization of three channels that differ becomes
    its mean where images have another number of them. Raises `MissingError` without timm or without the
    weights, `ConfigError` for a name that timm does not have or weights of other classes.
    """
    try:
        import timm as library
        from timm.models import get_pretrained_cfg
    except ImportError as error:
        raise MissingError(
            f"classifier=timm needs an extra, pip install 'vqexp[timm]' ({one_line(error)})"
        ) from error

    require(isinstance(name, str), f"classifier.name is {name!r}; it must be the name of a network of timm")
    if not library.is_model(name):
        near = library.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:8]
        raise ConfigError(
            f"classifier.name={name} is no network of timm; close are {', '.join(near) or 'none'}"
        )
    published = get_pretrained_cfg(name)
    if pretrained:
        require(
            published is not None and published.num_classes == num_classes,
            f"classifier.pretrained=true: {name}'s weights have "
            f"{published.num_classes if published else 'no'} classes, the dataset has {num_classes}",
        )
    try:
        network = library.create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=shape[0]
        )
    except (OSError, HTTPException, RuntimeError) as error:  # no network, a broken transfer, no such weights
        raise MissingError(
            f"{name} cannot be had from timm ({one_line(error)}); "
            "classifier.pretrained=false classifier.checkpoint=PATH loads weights that are here"
        ) from error
    mean, std = _normalization(network, shape[0])
    return Normalized(network, mean, std, channels=shape[0])


def _normalization(network: nn.Module, channels: int) -> list[list[float]]:
    """Mean and std, one number a channel."""
    both = [list(network.pretrained_cfg[name]) for name in ("mean", "std")]  # type: ignore[index]
    return [each if len(each) == channels else [sum(each) / len(each)] for each in both]
