"""What an attack sees: a module from images to logits, and the gradient of a loss through it."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vqexp.adversaries.memory import kept_for_backward
from vqexp.core.by_batch import by_batch
from vqexp.core.draws import repeated
from vqexp.core.inputs import check_logits
from vqexp.core.progress import asked
from vqexp.core.random_module import call, is_random

# (logits (N, classes), labels (N,), or whatever there is of each image (N, ...)) -> one term an image (N,)
Loss = Callable[[Tensor, Tensor], Tensor]

NUMBERS = 2**24  # draws that one attack may number
WORST = 1 / 4  # of the draws, that `worst` averages
# MiB that a fixed view keeps for the backward pass on a CPU, whose system kills a process that takes too much
MOST = 2048
SMALL = 2**18  # bytes of images, about which nobody needs to ask
# which draws a view shows: new ones at every call; the same at every call of a restart, and for every image;
# those of the evaluation, the same for every image; none, but the mean of what is random
DRAWS = ("fresh", "held", "evaluation", "mean")


class View(nn.Module):
    """A fixed view: images (N, C, H, W) in [0, 1] -> logits (N, classes).

    random: two calls on the same images differ. decides: the loss at one point says how good the point is;
    False where it owes something to a draw that does not judge. differentiable: it has a gradient to follow.
    samples: draws that one gradient averages over. On a CPU, images that would need more than `MOST` go one
    batch after the other.
    """

    random = False
    decides = True
    differentiable = True
    samples = 1
    average = "loss"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.whole = model, by_batch(model)  # whole: a call gets all images
        self._bytes: int | None = None  # that autograd keeps for an image

    def start(self, seed: int, ids: Tensor | None = None) -> None:
        """Begin an attack: its draws follow from `seed`, in [0, 2^31), and the images' ids (N,)."""

    def restart(self) -> None:
        """Begin a further restart of the same attack, on draws of its own."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes): what attacks of other libraries take."""
        asked()
        size = self._fitting(images) if torch.is_grad_enabled() else len(images)
        if size < len(images):  # computed again on the way back
            parts = [checkpoint(self.model, some, use_reentrant=False) for some in images.split(size)]
            logits = torch.cat(parts)
        else:
            logits = self.model(images)
        check_logits(logits, len(images))
        return logits

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """(gradient (N, C, H, W), loss (N,)) with respect to the images."""
        size = self._fitting(images)
        batches = zip(images.split(size), labels.split(size), strict=True)
        gradients, losses = zip(*(self._gradient(*batch, loss) for batch in batches), strict=True)
        return torch.cat(gradients), torch.cat(losses)

    def _gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        images = images.detach().requires_grad_(True)
        with torch.enable_grad():
            terms = loss(self(images), labels)
            return gradient_of(terms, images), terms.detach()

    def one_draw(self) -> nn.Module:
        """The same view on a single draw a call, for attacks that average by themselves."""
        return self

    def _fitting(self, images: Tensor) -> int:
        """How many of the images go together. A GPU says when it is full, and its batch is halved."""
        if self.whole or images.nbytes < SMALL or images.device.type != "cpu":
            return max(1, len(images))
        return self._within(MOST, images)

    def _within(self, limit: float, images: Tensor) -> int:
        """How many images fit into `limit` MiB, by what autograd keeps for the first."""
        if self._bytes is None:
            self._bytes = kept_for_backward(self.model, images[:1].detach())
        return max(1, int(limit * 2**20 / max(1, self._bytes)))


class RandomView(View):
    """A view of a random defense, averaged over `samples` draws a call.

    average: `loss` (the mean of the draws' loss gradients), `output` (the loss of the mean softmax;
    journal, eq. 14), or `worst` (the mean over the quarter of the draws that resist most: image by image
    those of the lowest loss). `forward` is always the log of the mean softmax, because a library calls it
    once; over one draw all are the draw's own logits.
    draws: which ones, one of `DRAWS`. Fresh and held ones are the attack's own; no evaluation sees them.
    memory_limit: MiB that may be kept for the backward pass; more draws are taken one batch after the
    other. None: 1024 on the CPU, 16384 elsewhere.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        samples: int = 1,
        average: str = "loss",
        draws: str = "fresh",
        memory_limit: float | None = None,
    ) -> None:
        super().__init__(model)
        self.samples, self.average, self.draws, self.memory_limit = samples, average, draws, memory_limit
        self.random, self.decides = draws == "fresh", draws in ("evaluation", "mean")
        self._next = 0
        self._ids: Tensor | None = None

    def start(self, seed: int, ids: Tensor | None = None) -> None:
        """Draws are numbered in the order of the calls, from a number of the attack's own."""
        self._next, self._ids = seed * NUMBERS, ids

    def restart(self) -> None:
        """Held draws make place for new ones."""
        if self.draws == "held":
            self._next += self.samples

    def one_draw(self) -> nn.Module:
        """A view with the same position in the sequence of draws."""
        view = type(self)(self.model, draws=self.draws, memory_limit=self.memory_limit)
        view.random, view._next, view._ids = self.random, self._next, self._ids
        return view

    def forward(self, images: Tensor) -> Tensor:
        """Logits of one draw, or the log of the mean softmax over `samples` draws."""
        asked()
        numbers = self._numbers()
        group = self._group(images, self._at_once(images))
        rows = self._rows(len(images))
        parts = [
            self._output(images[i : i + group], rows[i : i + group], numbers)
            for i in range(0, len(images), group)
        ]
        return torch.cat(parts)

    def gradient(self, images: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """Average of the draws' gradients, or gradient at the mean output; as many images at once as fit."""
        numbers, at_once = self._numbers(), self._at_once(images)
        group = self._group(images, at_once)
        rows, gradients, losses = self._rows(len(images)), [], []
        for i in range(0, len(images), group):
            some = images[i : i + group].detach().requires_grad_(True)
            gradient, value = torch.zeros_like(some), torch.zeros((), device=some.device)
            # losses are averaged one batch after the other, unless all draws must be known at once
            apart = self.average == "loss"
            batches = numbers.split(max(1, at_once // len(some))) if apart else [numbers]
            for batch in batches:
                with torch.enable_grad():
                    terms = self._terms(some, rows[i : i + group], batch, labels[i : i + group], loss)
                    terms = terms * (len(batch) / len(numbers))
                    gradient += gradient_of(terms, some)
                value = value + terms.detach()
            gradients.append(gradient)
            losses.append(value)
        return torch.cat(gradients), torch.cat(losses)

    def _terms(self, images: Tensor, rows: Tensor, numbers: Tensor, labels: Tensor, loss: Loss) -> Tensor:
        if self.average == "output":
            return loss(self._output(images, rows, numbers), labels)
        logits = self._logits(images, rows, numbers)
        each = loss(logits.flatten(0, 1), labels.repeat(len(numbers), *[1] * (labels.dim() - 1)))
        each = each.view(len(numbers), -1)
        if self.average == "worst":
            each = each.topk(math.ceil(WORST * len(numbers)), dim=0, largest=False).values
        return each.mean(0)

    def _output(self, images: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
        logits = self._logits(images, rows, numbers)
        return logits[0] if len(logits) == 1 else logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))

    def _logits(self, images: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
        """Logits (draws, n, classes). What does not fit is computed again on the way back."""
        n, at_once = len(images), self._at_once(images)
        draws = max(1, at_once // n)
        parts = []
        for i in range(0, len(numbers), draws):
            some = numbers[i : i + draws]
            # one draw for all images: a library calls on some of them, and does not say on which
            ids = torch.zeros_like(rows) if self.draws == "held" else rows
            draw = repeated("attack", some, ids, known=self.draws == "evaluation")
            draw = replace(draw, mean=self.draws == "mean")
            batch = images.repeat(len(some), 1, 1, 1)
            if torch.is_grad_enabled() and draws < len(numbers):
                logits = checkpoint(call, self.model, batch, draw, use_reentrant=False)
            else:
                logits = call(self.model, batch, draw)
            check_logits(logits, len(batch))
            parts.append(logits.unflatten(0, (len(some), n)))
        return torch.cat(parts)

    def _rows(self, n: int) -> Tensor:
        """The ids of n images: those told at the start, or, of only some of them, their places."""
        known = self._ids is not None and len(self._ids) == n
        return self._ids if known and self._ids is not None else torch.arange(n)

    def _numbers(self) -> Tensor:
        first = 0 if self.draws == "evaluation" else self._next
        if self.draws == "fresh":
            self._next += self.samples
        return torch.arange(first, first + self.samples)

    def _group(self, images: Tensor, at_once: int) -> int:
        """How many images go together."""
        return len(images) if self.whole else max(1, at_once // self.samples)

    def _at_once(self, images: Tensor) -> int:
        """How many images' draws fit into the limit, by what autograd keeps for one of them."""
        if self.whole or len(images) * self.samples == 1:  # there is nothing to split
            return len(images)
        return self._within(self.memory_limit or (1024 if images.device.type == "cpu" else 16384), images)


def view_of(model: nn.Module) -> View:
    """The model itself, if it is a view; else a view of it, on fresh draws if it is random."""
    if isinstance(model, View):
        return model
    return RandomView(model) if isinstance(model, nn.Module) and is_random(model) else View(model)


def gradient_of(terms: Tensor, images: Tensor) -> Tensor:
    """Gradient of the sum of `terms`; zero where nothing connects them to the images, as behind a decoder."""
    if not terms.requires_grad:
        return torch.zeros_like(images)
    (gradient,) = torch.autograd.grad(terms.sum(), images, allow_unused=True)
    return torch.zeros_like(images) if gradient is None else gradient
