"""Quantizing one image tile by tile, where all of its patches at once would need too much memory.

A tile is some rows of patches. Its noise is made anew at every visit, so that nothing of the size of all
patches is ever kept; on the way back a tile is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vqexp.core.draws import Streams
from vqexp.core.heap import give_back_large_blocks
from vqexp.defenses.vq import kmeans

if TYPE_CHECKING:
    from vqexp.defenses.vq.quantizer import VectorQuantizer

Noisy = Sequence[Callable[[Tensor], Tensor]]  # for each tile: image -> its patches with noise, (1, m, d)


class Tiles:
    """The patches of one image (1, C, H, W), and the steps of a quantizer on them.

    at_once: patches in a tile, but at least one row of them. Results are those of all patches at once, up to
    rounding.
    """

    def __init__(self, quantizer: VectorQuantizer, image: Tensor, streams: Streams, at_once: int) -> None:
        give_back_large_blocks()
        self.quantizer, self.image, self.streams = quantizer, image, streams
        H, W = image.shape[-2:]
        self.n, columns = quantizer.number_of_patches(H, W), quantizer.number_of_patches(quantizer.s, W)
        step = max(1, at_once // columns)
        self.rows = [(i, min(i + step, self.n // columns)) for i in range(0, self.n // columns, step)]
        self.places = [slice(first * columns, stop * columns) for first, stop in self.rows]

    def quantized(self) -> Tensor:
        """The quantized image."""
        centers, noisy = self.codebook(), self._noisy(self.quantizer.tau)
        with torch.no_grad():
            labels = torch.cat([kmeans.nearest(each(self.image), centers) for each in noisy], 1)
        return self.quantizer.assemble(self, centers, labels)

    def codebook(self) -> Tensor:
        """Centers (1, k, d): means of their patches, and differentiable as such."""
        noisy = self._noisy(self.quantizer.sigma)
        best = self._cluster(noisy)
        for _ in range(self.quantizer.restarts - 1):
            other = self._cluster(noisy)
            best = other if self._inertia(noisy, other) < self._inertia(noisy, best) else best
        return best

    def squared_distances(self, centers: Tensor, labels: Tensor) -> Tensor:
        """Of each patch, without noise, to the center with its label: (1, n)."""

        def one(image: Tensor, centers: Tensor, tile: int) -> Tensor:
            nearest = kmeans.gather_rows(centers, labels[:, self.places[tile]])
            return (nearest - self._patches(image, tile)).square().sum(-1)

        return torch.cat([again(one, self.image, centers, tile) for tile in range(len(self.rows))], 1)

    def _patches(self, image: Tensor, tile: int) -> Tensor:
        (first, stop), s, stride = self.rows[tile], self.quantizer.s, self.quantizer.stride
        assert stride is not None
        return self.quantizer.patches(image[..., first * stride : (stop - 1) * stride + s, :])

    def _noisy(self, scale: float) -> Noisy:
        """The streams go on behind the noise of all tiles."""
        d, found = self.image.shape[1] * self.quantizer.s**2, []
        for tile, place in enumerate(self.places):
            shape, start = (place.stop - place.start, d), self.streams.position()
            if scale:
                self.streams.normal(shape, self.image.dtype)

            def noisy(image: Tensor, tile: int = tile, start: Any = start) -> Tensor:
                after = self.streams.position()
                self.streams.go_to(start)
                patches = self.quantizer.with_noise(self._patches(image, tile), scale, self.streams)
                self.streams.go_to(after)
                return patches

            found.append(noisy)
        return found

    def _cluster(self, noisy: Noisy) -> Tensor:
        start = self._starts(noisy)
        if self.quantizer.max_steps == 0:
            return start
        with torch.no_grad():
            centers, labels, sizes = self._lloyd(noisy, start)

        def sums(image: Tensor, tile: int) -> Tensor:
            return kmeans.cluster_sums(noisy[tile](image), labels[:, self.places[tile]], centers.shape[1])[0]

        if not (torch.is_grad_enabled() and self.image.requires_grad):
            return centers
        total = torch.stack([again(sums, self.image, tile) for tile in range(len(noisy))]).sum(0)
        return kmeans.means(total, sizes, centers)

    def _starts(self, noisy: Noisy) -> Tensor:
        """The patches from which Lloyd's algorithm starts. k-means++ needs all of them at once."""
        q = self.quantizer
        if q.init != "random":
            patches = torch.cat([each(self.image) for each in noisy], 1)
            return kmeans.gather_rows(
                patches, q.backend_for(patches).starts(patches, q.k, q.init, self.streams)
            )
        chosen = self.streams.subset(self.n, q.k)[0]
        starts = self.image.new_empty(1, q.k, self.image.shape[1] * q.s**2)
        for tile, place in enumerate(self.places):
            (here,) = torch.where((chosen >= place.start) & (chosen < place.stop))
            if len(here):
                starts = starts.index_copy(1, here, noisy[tile](self.image)[:, chosen[here] - place.start])
        return starts

    def _lloyd(self, noisy: Noisy, centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`kmeans.lloyd`: centers, labels, and the clusters' sizes besides."""
        # what stays is made once: between the tiles' own tensors it would break up the heap
        labels = torch.full((1, self.n), -1, device=self.image.device)
        sums = sizes = torch.zeros_like(centers, dtype=torch.float64)
        for _ in range(self.quantizer.max_steps):
            moved, sums, sizes = False, sums.zero_(), torch.zeros((), device=labels.device)
            for each, place in zip(noisy, self.places, strict=True):
                patches = each(self.image)
                _, found = self.quantizer.backend_for(patches).lloyd(patches, centers, 0)
                moved = moved or not torch.equal(labels[:, place], found)
                labels[:, place] = found
                more, members = kmeans.cluster_sums(patches, found, centers.shape[1])
                sums, sizes = sums.add_(more), sizes + members
            if not moved:
                break
            centers = kmeans.means(sums, sizes, centers)
        return centers, labels, sizes

    def _inertia(self, noisy: Noisy, centers: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.stack([kmeans.inertia(each(self.image), centers) for each in noisy]).sum(0)


def again(compute: Callable[..., Any], *arguments: Any) -> Any:
    """`compute(*arguments)`, of which nothing is kept for the way back: it is computed again there."""
    wanted = any(each.requires_grad for each in arguments if isinstance(each, Tensor))
    if not (wanted and torch.is_grad_enabled()):
        return compute(*arguments)
    return checkpoint(compute, *arguments, use_reentrant=False, preserve_rng_state=False)
