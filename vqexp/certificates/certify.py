"""Certifying any classifier: noise, votes, label, radius, in one call."""

import torch
from torch import Tensor, nn

from vqexp.certificates.smoothed import CERTIFICATES, Certified, certified
from vqexp.core.errors import check_number, one_of
from vqexp.core.inputs import check_images
from vqexp.core.reductions import votes
from vqexp.core.sampling import AT_ONCE, Sampler
from vqexp.defenses import AdditiveNoise


def certify(
    model: nn.Module,
    images: Tensor,
    *,
    sigma: float,
    n: int = 1000,
    n0: int = 100,
    alpha: float = 0.001,
    certificate: str = "cohen",
    interval: str = "binary",
    seed: int = 0,
) -> Certified:
    """Returns each image's label or abstention, and certified radius, for the majority of `model` in noise.

    model: images (N, C, H, W) -> logits, in evaluation mode; it should have been trained in the same noise.
    sigma: of the noise, > 0, in units of [0, 1] pixels: standard deviation, or lambda for `laplace`. n0, n:
    draws that name the label, and further ones that bound its probability, >= 1. alpha: the chance that the
    guarantee of one image fails. certificate, interval: see `certified`. seed: of the draws. Raises
    `ConfigError` for values out of range.
    """
    check_images(images)
    one_of("certificate", certificate, CERTIFICATES)
    for name, count in (("n", n), ("n0", n0)):
        check_number(name, count, low=1, integer=True)
    check_number("sigma", sigma, above=0)
    defended = AdditiveNoise(sigma=sigma, noise=CERTIFICATES[certificate].noise, seed=seed).wrap(model)
    sampler, size = Sampler(seed), max(1, AT_ONCE // images[0].numel())
    counts = {
        purpose: torch.cat(
            [
                votes(sampler.draws(defended, images[rows], rows, purpose, draws))
                for rows in torch.arange(len(images)).split(size)
            ]
        )
        for purpose, draws in (("guess", n0), ("certify", n))
    }
    return certified(
        counts["guess"],
        counts["certify"],
        certificate=certificate,
        scale=sigma,
        alpha=alpha,
        interval=interval,
    )
