"""What a model is, measured on a few images before anything is attacked: no flag is trusted."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError, one_line, require
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.inputs import check_labels, check_logits
from vqexp.core.modes import evaluating
from vqexp.core.random_module import call

CALLS = 4  # of the model on the same images, each on a seed of its own
ROUNDING = 1e-4  # of the largest output: a difference that counts as none
SUM = 1e-3  # of a row of probabilities: how far it may be from 1


@dataclass(frozen=True)
class Probe:
    """What was measured in evaluation mode.

    classes: outputs an image. training: the model came in training mode. random: two calls on the same images
    differ; one_draw: all images of a call share what is random. mixes: an image's output depends on the
    others of its batch. differentiable: autograd reaches the images; vanishing, infinite: shares of images
    whose gradient is zero, or NaN or infinite. probabilities: the outputs are those of a softmax;
    saturated: share of images with a probability of exactly 1.
    """

    classes: int
    training: bool
    random: bool
    one_draw: bool
    seeded: bool
    mixes: bool
    differentiable: bool
    vanishing: float
    infinite: float
    probabilities: bool
    saturated: float

    def lines(self) -> list[str]:
        """What the user should know, a line each."""
        found = ["random by itself" if self.random else "fixed: two calls agree"]
        if self.training:
            found.append("came in training mode, and is judged in evaluation mode")
        if self.one_draw:
            found.append("all images of a batch share one draw")
        if not self.seeded:
            found.append("draws from a generator of its own, so its numbers cannot be repeated exactly")
        if self.mixes:
            found.append("an image's output depends on its batch, so numbers depend on the batch size")
        if not self.differentiable:
            found.append("has no gradient: only attacks without one can be trusted")
        if self.vanishing:
            found.append(f"its gradient is zero on {100 * self.vanishing:.0f} % of the images looked at")
        if self.infinite:
            found.append(f"its gradient is not finite on {100 * self.infinite:.0f} % of the images looked at")
        if self.probabilities:
            sure = f"; {100 * self.saturated:.0f} % are exactly 1" if self.saturated else ""
            found.append(f"returns probabilities, and is attacked through their logarithm{sure}")
        return found


def probe(model: nn.Module, images: Tensor, labels: Tensor) -> Probe:
    """Measures `model` on a few images (N, C, H, W) with labels (N,), N >= 1, on its device.

    The model and the global generators are afterwards as they were. Raises `ConfigError` if it fails on these
    images, or returns anything but finite scores (N, classes).
    """
    training = any(part.training for part in model.modules())
    with generators_kept(), evaluating(model):
        outputs = [_outputs(model, images, seed) for seed in range(CALLS)]
        check_labels(labels, len(images), outputs[0].shape[1])
        require(all(each.isfinite().all() for each in outputs), "the model returns NaN or infinite scores")
        scale = max(float(each.abs().max()) for each in outputs)
        random = any(_differ(outputs[0], each, scale) for each in outputs[1:])
        # the same seed and as many images, of which the first stays and the others are darker
        others = torch.cat([images[:1], images[1:].square()])
        seeded = not _differ(outputs[0], _outputs(model, images, 0), scale)
        mixes = seeded and _differ(outputs[0][:1], _outputs(model, others, 0)[:1], scale)
        equal = _outputs(model, images[:1].expand_as(images).contiguous(), 0)
        gradient = _gradient(model, images, labels)
    probabilities = _are_probabilities(torch.cat(outputs))
    return Probe(
        classes=outputs[0].shape[1],
        training=training,
        random=random,
        one_draw=random and not _differ(equal[:1].expand_as(equal), equal, scale),
        seeded=seeded,
        mixes=mixes,
        differentiable=gradient is not None,
        vanishing=0.0 if gradient is None else _share((gradient == 0).flatten(1).all(1)),
        infinite=0.0 if gradient is None else _share(~gradient.isfinite().flatten(1).all(1)),
        probabilities=probabilities,
        saturated=_share(outputs[0].amax(1) == 1) if probabilities else 0.0,
    )


@torch.no_grad()
def _outputs(model: nn.Module, images: Tensor, seed: int) -> Tensor:
    seed_generators(seed)
    try:
        found: Tensor = call(model, images, Draw(number=seed))
    except Exception as error:  # whatever a model that is not ours raises
        raise ConfigError(f"the model fails on images {tuple(images.shape)}: {one_line(error)}") from error
    check_logits(found, len(images))
    return found


def _gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor | None:
    """Of the label's score less the mean of all, with respect to the images; None without one.

    Not of a loss, whose gradient vanishes where the model is sure, whatever the model is.
    """
    images = images.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        seed_generators(0)
        scores = call(model, images, Draw())
        if not scores.requires_grad:
            return None
        own = scores.gather(1, labels.unsqueeze(1)).squeeze(1)
        return torch.autograd.grad((own - scores.mean(1)).sum(), images, allow_unused=True)[0]


def _are_probabilities(outputs: Tensor) -> bool:
    within = bool((outputs >= 0).all() and (outputs <= 1).all())
    return within and bool((outputs.sum(1) - 1).abs().max() <= SUM)


def _differ(first: Tensor, second: Tensor, scale: float) -> bool:
    return bool((first - second).abs().max() > ROUNDING * scale)


def _share(rows: Tensor) -> float:
    return float(rows.float().mean())
