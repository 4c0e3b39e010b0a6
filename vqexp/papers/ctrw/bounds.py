"""The bounds of sigma's sum, of a network with random weights: Ma et al. 2023, Lemmas 1 and 2.

F is the standard normal distribution function. What the paper says of them does not fit together:

- Lemma 1 needs alpha < 0, as its text and proof say; the experiments "set alpha = 1e-3" (section 4.1). With
  that eq. 10's right side is negative where mu's sum is as large as the lemma assumes: no bound at all. Its
  "simplification" to 1 / |alpha|, A = 1000, is that of alpha = -1e-3.
- Eq. 10 does not suffice. For a fixed W[1] the product W[1] . W[2] is normal, of mean W[1] . mu and variance
  sum (W[1]_i sigma_i)^2. So it is at most eps' with at least the probability F(alpha) iff the variance's root
  is at least (eps' - W[1] . mu) / alpha. Eq. 10 has the product of two sums, of |W[1]| and of sigma, in place
  of the root; that is larger, for m equal entries by a factor of sqrt(m). So where eq. 10 just holds the
  probability can be next to zero: `probability_unlike`.
- The lemma assumes that mu's sum is far above zero. But that 46 % of pairs have a cosine of at most eps_r
  (Table 6) needs a mu that is next to nothing beside sigma.
- Lemma 2 bounds the sum of the sigma' behind all layers but the last, the constraint that of sigma. eps_y is
  not given, nor how B = 2400 comes of it.
"""

import torch
from torch import Tensor, nn

from vqexp.core.draws import Draw
from vqexp.core.errors import check_number, require
from vqexp.core.random_module import call
from vqexp.defenses import drawn_weights
from vqexp.defenses.weights.ctrw import RandomWeight


def lower_bound(network: nn.Module, alpha: float, eps: float = 0.0, number: int = 0) -> float:
    """A of Lemma 1, eq. 10: (eps' - sum mu_i) / (alpha sum |W[1]_i|).

    alpha: its sign is not checked (see above). eps: eps', the product of eps_r and both norms. W[1] is the
    evaluation's draw `number`. Raises `ConfigError` if alpha is 0, or if the network has no random weights.
    """
    mu, _ = _parameters(network)
    require(alpha != 0, "alpha is 0; Lemma 1 divides by it")
    return float((eps - mu.sum()) / (alpha * _first(network, number).abs().sum()))


def sufficient_lower_bound(network: nn.Module, alpha: float, eps: float = 0.0, number: int = 0) -> float:
    """The sum of sigma from which on the event of Lemma 1 does have the probability F(alpha), W[1] fixed.

    (eps' - W[1] . mu) / (alpha sqrt(sum (W[1]_i r_i)^2)), where r = sigma / sum sigma is as it is now. Raises
    `ConfigError` unless alpha < 0.
    """
    mu, sigma = _parameters(network)
    check_number("alpha", alpha, below=0)
    W = _first(network, number)
    return float((eps - W @ mu) / (alpha * (W * sigma / sigma.sum()).norm()))


def probability_unlike(network: nn.Module, eps: float = 0.0, number: int = 0) -> float:
    """P(W[1] . W[2] <= eps'), W[1] fixed: for eps' = 0 that of a cosine that is not positive.

    F((eps' - W[1] . mu) / sqrt(sum (W[1]_i sigma_i)^2)).
    """
    mu, sigma = _parameters(network)
    W = _first(network, number)
    return float(torch.special.ndtr((eps - W @ mu) / (W * sigma).norm()))


def upper_bound(network: nn.Module, images: Tensor, beta: float, eps: float) -> Tensor:
    """B of Lemma 2: up to which sum of sigma each logit of images (N, C, H, W) is stable, (N, classes).

    Stable: P(Y_1 - Y_2 < eps) >= F(sqrt(2) beta / 2) for the logits Y of two draws; eps: eps_y. Eq. 13 has
    eps / (x^(n-1) . W^n beta) for sigma', the standard deviation behind all layers but the last. Here the way
    from W to the logit is followed by its gradient J at mu, which is exact as long as no ReLU changes sides;
    eq. 11 and 12 take neighbouring outputs for independent. Y_1 - Y_2 then is normal, of variance
    2 sum (J_i sigma_i)^2, so that B = eps / (beta sqrt(sum (J_i r_i)^2)) with r = sigma / sum sigma.
    Infinite where the logit does not depend on W. Raises `ConfigError` unless beta and eps are positive.
    """
    check_number("beta", beta, above=0)
    check_number("eps", eps, above=0)
    means = [layer.mu for layer in _layers(network)]
    _, sigma = _parameters(network)
    share, rows = sigma / sigma.sum(), []
    wanted = [mu.requires_grad for mu in means]
    for mu in means:
        mu.requires_grad_(True)
    for image in images:
        with torch.enable_grad():
            logits = call(network, image.unsqueeze(0), Draw(mean=True))[0]
        jacobian = [torch.autograd.grad(logit, means, retain_graph=True) for logit in logits]
        rows.append([float((_flat(row) * share).norm()) for row in jacobian])
    for mu, requires in zip(means, wanted, strict=True):
        mu.requires_grad_(requires)
    return eps / (beta * torch.tensor(rows))


def _layers(network: nn.Module) -> list[RandomWeight]:
    layers = [layer for layer in network.modules() if isinstance(layer, RandomWeight) and layer.random]
    require(layers, "the network has no random weights (defense=ctrw)")
    return layers


def _flat(parts: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    return torch.cat([part.detach().flatten() for part in parts]).cpu()


def _parameters(network: nn.Module) -> tuple[Tensor, Tensor]:
    """mu and sigma of all random weights, (m,) each."""
    layers = _layers(network)
    return _flat([layer.mu for layer in layers]), _flat([layer.sigma for layer in layers])


def _first(network: nn.Module, number: int) -> Tensor:
    """W[1], (m,)."""
    return drawn_weights(network, torch.tensor([number]))[0]
