"""Image classifiers of Hugging Face's transformers, from a folder on this machine."""

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from vqexp.classifiers.normalize import Normalized
from vqexp.core.errors import ConfigError, MissingError, one_line, one_of, require
from vqexp.core.notes import note


class HuggingFace(Normalized):
    """The network that `save_pretrained` wrote to the folder `path`, with its weights and its normalization.

    Takes images (N, C, H, W) in [0, 1], of `shape` (C, H, W), and returns its `logits` (N, num_classes). The
    normalization is that of `preprocessor_config.json`, none where there is no such file. Images are not
    resized. Raises `MissingError` without transformers, `ConfigError` for a folder without an image
    classifier, with weights that are not all there, or of other classes.
    """

    FOLDERS: ClassVar[tuple[str, ...]] = ("path",)  # whose contents are part of what a result stands for

    def __init__(self, shape: Sequence[int], num_classes: int, path: str, weights: str = "folder") -> None:
        one_of("classifier.weights", weights, ("folder",))
        folder = Path(path).expanduser()
        require((folder / "config.json").is_file(), f"classifier.path={path} is no folder with a config.json")
        model = _load(folder)
        classes = model.config.num_labels
        require(classes == num_classes, f"{path} has {classes} classes, the dataset has {num_classes}")
        super().__init__(_Logits(model), *_normalization(folder), channels=shape[0])


class _Logits(nn.Module):
    """`logits` of what a network returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, model.training

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        logits: Tensor = self.model(images).logits
        return logits


def _load(folder: Path) -> Any:
    """The network, in float32."""
    try:
        from transformers import AutoModelForImageClassification
    except ImportError as error:
        raise MissingError(
            f"classifier=huggingface needs an extra, pip install 'vqexp[huggingface]' ({one_line(error)})"
        ) from error
    try:
        with redirect_stderr(io.StringIO()):  # its bars
            model, found = AutoModelForImageClassification.from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # a broken file, a network of another kind, code in place of weights
        raise ConfigError(f"{folder} holds no image classifier: {one_line(error)[:200]}") from error
    absent = sorted(found["missing_keys"])
    require(not absent, f"{folder} lacks weights, which would be random: {', '.join(absent[:4])}")
    return model.float()


def _normalization(folder: Path) -> tuple[list[float] | None, list[float] | None]:
    """Mean and std for images in [0, 1]."""
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        note(
            f"{folder} has no {file.name}: images are not normalized unless classifier.mean and .std say how"
        )
        return None, None
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {one_line(error)}") from None
    require(not settings.get("rescale_offset"), f"{file} has rescale_offset, which is not supported here")
    # what a white pixel is before the normalization
    white = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255
    normalizes = settings.get("do_normalize", "image_mean" in settings)
    mean, std = (settings["image_mean"], settings["image_std"]) if normalizes else ([0.0], [1.0])
    return [value / white for value in mean], [value / white for value in std]
