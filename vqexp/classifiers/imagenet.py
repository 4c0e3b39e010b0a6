"""torchvision's ImageNet models, with its pretrained weights by name or untrained."""

from collections.abc import Sequence
from http.client import HTTPException

from torch import nn

from vqexp.core.errors import MissingError, one_line, one_of, require


def efficientnet_v2_s(shape: Sequence[int], num_classes: int, weights: str | None = None) -> nn.Module:
    """EfficientNet-v2-s, the journal paper's ImageNet classifier.

    `weights` is `IMAGENET1K_V1` (84.23 % at 384 x 384, says torchvision) or None: untrained. Takes images (N,
    3, H, W) in [0, 1], to be normalized outside this module (`classifier.mean` and `.std`), returns logits
    (N, num_classes). Raises as `resnet50` does.
    """
    return _build("efficientnet_v2_s", shape, num_classes, weights)


def resnet50(shape: Sequence[int], num_classes: int, weights: str | None = None) -> nn.Module:
    """ResNet50 with torchvision's own stem; weights `IMAGENET1K_V1` or `IMAGENET1K_V2`, or None: untrained.

    Takes images (N, 3, H, W) in [0, 1], to be normalized outside this module (`classifier.mean` and `.std`),
    returns logits (N, num_classes). Raises `ConfigError` for images that are not RGB, unknown weights, or
    weights with another number of classes; `MissingError` if the weights cannot be downloaded.
    """
    return _build("resnet50", shape, num_classes, weights)


def torchvision(shape: Sequence[int], num_classes: int, name: str, weights: str | None = None) -> nn.Module:
    """torchvision's classifier `name`; weights by their name there, or `DEFAULT`, or None: untrained.

    Images, logits and errors are those of `resnet50`; an unknown name is a `ConfigError` too.
    """
    from torchvision import models  # as below

    one_of("classifier.name", name, models.list_models(models))
    return _build(name, shape, num_classes, weights)


def _build(name: str, shape: Sequence[int], num_classes: int, weights: str | None) -> nn.Module:
    from torchvision import models  # slow to import, and not needed for other classifiers

    require(shape[0] == 3, f"{name} takes RGB images; the dataset has {shape[0]} channel(s)")
    if weights is None:
        return models.get_model(name, num_classes=num_classes)
    known = models.get_model_weights(name)
    one_of("classifier.weights", weights, [*known.__members__, "null"])
    chosen = known[weights]
    classes = len(chosen.meta["categories"])
    require(
        classes == num_classes,
        f"classifier.weights={weights} has {classes} classes, the dataset has {num_classes}; "
        "set classifier.weights=null to train from scratch",
    )
    try:
        return models.get_model(name, weights=chosen)
    except (OSError, HTTPException, RuntimeError) as error:  # no network, a broken transfer, a wrong hash
        raise MissingError(
            f"the {name} weights could not be downloaded ({one_line(error)}): fetch {chosen.url} and pass it "
            "as classifier.weights=null classifier.checkpoint=PATH"
        ) from error
