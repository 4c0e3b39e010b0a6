"""In which range CTRW's sigma is kept: Ma et al. 2023, eq. 5."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.core.errors import check_number, one_of, require

KINDS = ("sum", "element")
FIXED = ("lower", "middle", "upper")


@dataclass(frozen=True)
class Constraint:
    """The sum of all m entries of sigma is to lie in [lower, upper], A and B in eq. 5; None: no bound.

    kind: `sum`, as the paper says: when the sum is below A every entry gets the average of what is missing,
    above B it loses that of what is too much. `element`, as the released code has it: each entry is raised to
    A / m, or lowered to B / m, which is a narrower range. The paper has A = 1000 and B = 2400, the released
    code A = 2048 and no B, with m = 3 x 32 x 32.
    Raises `ConfigError` for bounds that are not positive or cross.
    """

    kind: str = "sum"
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        one_of("defense.constraint", self.kind, KINDS)
        for name in ("lower", "upper"):
            if getattr(self, name) is not None:
                check_number(f"defense.{name}", getattr(self, name), above=0, high=10**9)
        if self.lower is not None and self.upper is not None:
            require(
                self.lower <= self.upper,
                f"defense.lower is {self.lower:g}; it must be at most defense.upper, {self.upper:g}",
            )

    def __call__(self, sigma: Tensor) -> Tensor:
        """sigma within the bounds, of the same shape."""
        m = sigma.numel()
        low = -torch.inf if self.lower is None else self.lower
        high = torch.inf if self.upper is None else self.upper
        if self.kind == "element":
            return sigma.clamp(low / m, high / m)
        total = sigma.sum()
        return sigma + (total.clamp(low, high) - total) / m

    def total(self, which: str) -> float:
        """The sum that a fixed sigma has: that of a bound, or of the `middle` of both.

        Raises `ConfigError` if the bound is not set.
        """
        needed = {"lower": (self.lower,), "upper": (self.upper,), "middle": (self.lower, self.upper)}[which]
        known = [bound for bound in needed if bound is not None]
        require(
            len(known) == len(needed), f"defense.std={which} needs defense.lower or defense.upper to be set"
        )
        return sum(known) / len(known)
