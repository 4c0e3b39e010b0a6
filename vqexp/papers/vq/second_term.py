"""The second term of Lemma 1: how far x and x' differ in what they make of the same codebook (eq. 10, 11)."""

import torch
from torch import Tensor

from vqexp.core.draws import Draw
from vqexp.defenses import PRD, VectorQuantizer
from vqexp.defenses.vq import kmeans
from vqexp.papers.vq import mixture


@torch.no_grad()
def second_term(
    defense: VectorQuantizer,
    pair: Tensor,
    centers: Tensor,
    *,
    draws: int,
    components: int,
    regularization: float,
    generator: torch.Generator,
) -> Tensor:
    """E_c of the sum over patches or pixels of KL(Q(.|c, x) || Q(.|c, x')), in nats; a scalar.

    pair: x and x', (2, C, H, W). centers: codebooks of x, (codebooks, k, d), over which the mean is taken.
    draws: of the noise tau, for each of them and each image.

    Disjoint patches (pRD): each becomes one of k centers. Frequencies are smoothed by 1/2 a center, so
    no patch counts more than about log(2 draws). The limit is that of `noise_limit`.

    Else, as the paper does, a Gaussian mixture for each pixel. For swRD that is the paper's recipe and no
    more: the weights depend on x itself, not on noisy patches, so that x and x' lead to different finite
    sets of values. The true divergence is then infinite, and `regularization` sets the figure.
    """
    patches = defense.patches(pair)
    terms = []
    for codebook in centers:
        labels = [_labels(defense, some, codebook, draws, generator) for some in patches]
        if isinstance(defense, PRD):
            p, q = (_frequencies(each, len(codebook)) for each in labels)
            terms.append((p * (p / q).log()).sum())
        else:
            sets = [
                _pixels(defense, some, codebook, each, pair.shape[-2:])
                for some, each in zip(patches, labels, strict=True)
            ]
            terms.append(_mixture_divergence(sets, components, regularization, generator))
    return torch.stack(terms).mean()


def noise_limit(defense: VectorQuantizer, x: Tensor, adversarial: Tensor) -> Tensor:
    """||x - x'||^2 / (2 tau^2) in nats, (N, C, H, W) twice -> (N,): the divergence of the noisy patches.

    By the data-processing inequality the second term is at most this where a patch reaches the output
    through its noisy version alone, once: in pRD, not in swRD.
    """
    tau = defense.tau / defense.pixel_max
    return (x - adversarial).double().square().sum((1, 2, 3)) / (2 * tau**2)


def _labels(
    defense: VectorQuantizer, patches: Tensor, codebook: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    """(draws, n): nearest centers of the patches (n, d) under fresh noise."""
    block = max(1, 2**22 // (patches.numel() + len(patches) * len(codebook)))
    rows = []
    for first in range(0, draws, block):
        noise = torch.empty(
            min(block, draws - first), *patches.shape, dtype=patches.dtype, device=patches.device
        )
        noise.normal_(generator=generator)
        noisy = patches + noise.mul_(defense.tau / defense.pixel_max)
        rows.append(kmeans.nearest(noisy, codebook.expand(len(noisy), -1, -1)))
    return torch.cat(rows)


def _frequencies(labels: Tensor, k: int) -> Tensor:
    """(draws, n) -> (n, k) float64; with half a count more each, none is zero."""
    counts = torch.zeros(labels.shape[1], k, dtype=torch.float64, device=labels.device)
    counts.scatter_add_(1, labels.T, torch.ones_like(labels.T, dtype=torch.float64))
    return (counts + 0.5) / (len(labels) + k / 2)


def _pixels(
    defense: VectorQuantizer, patches: Tensor, codebook: Tensor, labels: Tensor, size: torch.Size
) -> Tensor:
    """Values of each pixel, (H W, draws, C)."""
    quantized = kmeans.gather_rows(codebook.expand(len(labels), -1, -1), labels)
    images = defense.reassemble(quantized, patches.expand(len(labels), -1, -1), (size[0], size[1]))
    return images.flatten(2).permute(2, 0, 1).contiguous()


def _mixture_divergence(
    sets: list[Tensor], components: int, regularization: float, generator: torch.Generator
) -> Tensor:
    """Sum over pixels of the divergence of two mixtures, fitted to values (pixels, draws, C) each."""
    fitted = []
    for number, values in enumerate(sets):
        labels = mixture.k_means_labels(values, components, Draw("call", number))
        fitted.append(
            mixture.fit(values, labels, components, covariance="full", regularization=regularization)
        )
    p, q = fitted
    return mixture.divergence(p, q, sets[0].shape[1], generator)[0].sum()
