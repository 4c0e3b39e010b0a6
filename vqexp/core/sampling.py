"""The one loop over draws: it knows their purpose, their numbers, and what the adversary knows of them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from vqexp.core.by_batch import by_batch
from vqexp.core.draws import Draw, repeated
from vqexp.core.generators import generators_kept, seed_generators
from vqexp.core.halving import Halving
from vqexp.core.inputs import check_finite
from vqexp.core.keys import seed_of
from vqexp.core.modes import evaluating
from vqexp.core.random_module import call, is_random, name_of

# pixel values in one call: enough for a GPU, and no more memory than an attack takes
AT_ONCE = 512 * 3 * 32 * 32


class Sampler:
    """Draws of random modules for whoever judges them: evaluation, ranking, certificates, metrics.

    seed: of the global generators, from which a classifier that is not ours may draw. known: None, or how
    many draws the adversary knows; every purpose then gets these and no others. halving: of calls that do not
    fit into memory; depends: what forbids it (`Halving.over`).
    """

    def __init__(
        self,
        seed: int,
        known: int | None = None,
        halving: Halving | None = None,
        depends: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.seed, self.known = seed, known
        self.halving, self.depends = halving or Halving(), depends

    @torch.no_grad()
    def draws(
        self, model: nn.Module, images: Tensor, ids: Tensor, purpose: str, count: int, first: int = 0
    ) -> Iterator[Tensor]:
        """Yields model(images) under `count` draws of a purpose from `first`, some at a time: (some, N, ...).

        images: (N, C, H, W). ids: (N,), their rows in the dataset. A fixed model has one draw. What a block
        needs in memory does not depend on `count`; `vqexp.core.reductions` sums blocks up.
        Raises `WorkError` if an output is NaN or infinite.
        """
        random = is_random(model)
        known = random and self.known is not None
        count = (self.known or count) if random else 1
        at_once = 1 if by_batch(model) else max(1, AT_ONCE // images.numel())
        with evaluating(model):
            for numbers in torch.arange(first, first + count).split(at_once):
                draw = repeated(purpose, numbers, ids, known=known)
                with generators_kept():
                    seed_generators(seed_of(self.seed, draw.purpose, numbers.tolist(), ids.tolist()))
                    outputs = self._outputs(model, images.repeat(len(numbers), 1, 1, 1), draw)
                outputs = outputs.unflatten(0, (len(numbers), len(images)))
                check_finite(outputs, ids, f"what {name_of(getattr(model, 'defense', model))} gives")
                yield outputs

    def _outputs(self, model: nn.Module, batch: Tensor, draw: Draw) -> Tensor:
        def some(rows: slice) -> Tensor:
            return call(model, batch[rows], draw[rows])

        return self.halving.over("draws", len(batch), some, torch.cat, self.depends)
