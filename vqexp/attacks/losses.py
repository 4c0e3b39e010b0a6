"""What attacks maximize: one term an image, from logits (N, classes) and labels (N,)."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy

from vqexp.core.errors import SenselessError
from vqexp.core.margins import margin

DLR_CLASSES = 3  # that DLR compares


def ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy."""
    return cross_entropy(logits, labels, reduction="none")


def margin_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Highest other logit less the label's (Carlini & Wagner 2017); > 0 is wrong."""
    return -margin(logits, labels)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio (Croce & Hein 2020, eq. 6): the margin over the first less the third.

    Does not change with the scale of the logits. Raises `SenselessError` below three classes.
    """
    check_classes(dlr, logits.shape[1])
    top = logits.topk(3, dim=1).values
    return margin_loss(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_margin(logits: Tensor, labels_and_targets: Tensor) -> Tensor:
    """Logit of the target less the label's; labels_and_targets (N, 2)."""
    own, target = logits.gather(1, labels_and_targets).unbind(1)
    return target - own


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": ce, "dlr": dlr, "margin": margin_loss}


def capped(
    loss: Callable[[Tensor, Tensor], Tensor], most: float | None
) -> Callable[[Tensor, Tensor], Tensor]:
    """`loss` up to `most`, beyond which it is constant; None: as it is."""
    return loss if most is None else lambda logits, labels: loss(logits, labels).clamp(max=most)


def check_classes(loss: Callable[[Tensor, Tensor], Tensor], classes: int) -> None:
    """Raise `SenselessError` if `loss` compares more classes than there are."""
    if loss is dlr and classes < DLR_CLASSES:
        raise SenselessError(
            f"attack.loss=dlr compares the first logit with the third, and there are {classes} classes; "
            "choose ce or margin"
        )
