"""What modules and attacks take, checked where images and labels come in: one line says what was got."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from vqexp.core.errors import WorkError, require

# in [0, 1] pixels: rounding of a library's own arithmetic, far below one step of 1/255
SLACK = 1e-4
TAKES = "they must be a float tensor (N, C, H, W) of at least one image in [0, 1]"

_inside = ContextVar("inside", default=False)


@contextmanager
def inside() -> Iterator[None]:
    """Meanwhile images are in [0, 1] by construction: to look would make the host wait for a GPU."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def check_images(images: Tensor, name: str = "images") -> None:
    """Raise `ConfigError` unless `images` is (N, C, H, W), N >= 1, floating point, finite, within [0, 1]."""
    require(isinstance(images, Tensor), f"{name} are a {type(images).__name__}; {TAKES}")
    kind = str(images.dtype).removeprefix("torch.")
    scale = ": divide by 255" if images.dtype == torch.uint8 else ""
    require(images.is_floating_point(), f"{name} are of dtype {kind}{scale}; {TAKES}")
    shape = tuple(images.shape)
    batch = ": add the batch dimension with [None]" if len(shape) == 3 else ""
    require(len(shape) == 4, f"{name} have shape {shape}{batch}; {TAKES}")
    require(images.numel() > 0, f"{name} are empty, of shape {shape}; {TAKES}")
    if _inside.get():
        return
    low, high = (float(bound) for bound in images.detach().aminmax())
    if not low <= high:  # NaN is in no order
        bad = (~images.isfinite()).flatten(1).any(1)
        require(False, f"{name} have NaN or infinite pixels in {int(bad.sum())} of {len(images)}; {TAKES}")
    require(low >= -SLACK and high <= 1 + SLACK, f"{name} are in [{low:.4g}, {high:.4g}]; {TAKES}")


def check_labels(labels: Tensor, n: int, classes: int | None = None) -> None:
    """Raise `ConfigError` unless `labels` is (n,), of dtype int64, each in 0..classes-1 (None: >= 0)."""
    last = "" if classes is None else f" in 0..{classes - 1}"
    takes = f"they must be an int64 tensor ({n},){last}"
    require(isinstance(labels, Tensor), f"labels are a {type(labels).__name__}; {takes}")
    require(labels.dtype == torch.int64, f"labels are {str(labels.dtype).removeprefix('torch.')}; {takes}")
    require(tuple(labels.shape) == (n,), f"labels have shape {tuple(labels.shape)}; {takes}")
    low, high = (int(bound) for bound in labels.aminmax())
    require(low >= 0 and (classes is None or high < classes), f"labels are in {low}..{high}; {takes}")


def check_logits(logits: Tensor, n: int) -> None:
    """Raise `ConfigError` unless `logits` is a tensor (n, classes) of at least two classes."""
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    fits = isinstance(logits, Tensor) and logits.dim() == 2 and len(logits) == n and logits.shape[1] > 1
    require(fits, f"the classifier returns {found} for {n} images; it must return logits ({n}, classes)")


def check_kept_shape(name: str, images: Tensor, result: Tensor) -> None:
    """Raise `WorkError` if the defense `name` made something of another shape of `images`."""
    if not isinstance(result, Tensor) or result.shape != images.shape:
        found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise WorkError(
            f"defense {name} turns images of shape {tuple(images.shape)} into {found}; "
            "a preprocessor must keep the shape"
        )


def check_finite(outputs: Tensor, ids: Tensor, what: str) -> None:
    """Raise `WorkError` if any of `outputs` (draws, N, ...) is NaN or infinite, of images with `ids` (N,)."""
    good = outputs.isfinite().flatten(2).all(2).all(0)
    if not good.all():
        bad = ids.to(good.device)[~good]
        first = ", ".join(map(str, bad[:5].tolist()))
        raise WorkError(
            f"{what} is NaN or infinite on {100 * len(bad) / len(good):.1f} % of {len(good)} images, "
            f"the first of them with ids {first}"
        )
