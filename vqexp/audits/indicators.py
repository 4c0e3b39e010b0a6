"""Signs that an attack failed instead of the image being robust, image by image and attack by attack.

After Pintor et al. 2022, "Indicators of Attack Failure: Debugging and Improving Optimization of Adversarial
Examples". They count on the images that an attack leaves right (by most draws): elsewhere it did not fail.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.audits.checks import Finding
from vqexp.audits.result import AuditResult
from vqexp.metrics import Member

TENTH = 10  # of the steps, over which losses are averaged
RISE = 0.1  # of all that the loss has risen: more in the last tenth of the steps, and it is still rising
DROP = 0.1  # of all that the loss has risen: less than the best by more, and the end is not the best point
# loss -> from where on a point is surely misclassified, by the number of classes
WRONG_FROM: dict[str, Callable[[int], float]] = {
    "margin": lambda classes: 0.0,
    "dlr": lambda classes: 0.0,
    "ce": math.log,
}
TITLES = {
    "silent": "passed an adversarial point and lost it",
    "rising": "loss still rising",
    "passed_best": "best point not the last",
    "unstable": "draws disagree",
    "transfer": "an attack that knows less gets it wrong",
}


@dataclass(frozen=True)
class Indicators:
    """right (n,): images that the attack leaves right. signs: name in `TITLES` -> (n,), None if unknown."""

    right: Tensor
    signs: dict[str, Tensor | None]

    def share(self, name: str) -> float | None:
        """Returns the share of the images left right that have this sign; None if nothing is known."""
        sign = self.signs[name]
        return float(sign[self.right].double().mean()) if sign is not None and self.right.any() else None


def indicators(result: AuditResult) -> dict[str, Indicators]:
    """Returns, by label, the signs of the attacks that make up the worst case."""
    members = {label: member for label in result.counted if (member := result.findings[label].member)}
    less = [member for label, member in members.items() if result.findings[label].kind != "white_box"]
    return {label: _of(result.findings[label], member, less) for label, member in members.items()}


def _of(finding: Finding, member: Member, less: list[Member]) -> Indicators:
    share = member.outcomes.double().mean(0)
    several = len(member.outcomes) > 1
    signs: dict[str, Tensor | None] = {
        "silent": None,
        "rising": None,
        "passed_best": None,
        "unstable": (share > 0) & (share < 1) if several else None,
        "transfer": _others_wrong(member, less) if finding.kind == "white_box" else None,
    }
    if finding.losses is not None:
        signs |= _on_the_way(finding.losses, finding)
    return Indicators(share > 0.5, signs)


def _on_the_way(losses: Tensor, finding: Finding) -> dict[str, Tensor | None]:
    """The signs in losses (n, restarts, steps). Loss is still rising, or lost again, in all restarts."""
    config = finding.record.config
    wrong_from = WRONG_FROM[config["attack"]["loss"]](config["dataset"]["num_classes"])
    parts = losses.double().tensor_split(min(TENTH, losses.shape[2]), 2)
    smooth = torch.stack([part.mean(2) for part in parts], 2)
    best = smooth.amax(2)
    risen = (best - smooth[:, :, 0]).clamp(min=1e-12)
    last = smooth[:, :, -1]
    return {
        "silent": (losses > wrong_from).flatten(1).any(1),
        "rising": (last - smooth[:, :, -2:-1].amin(2) > RISE * risen).all(1),
        "passed_best": (best - last > DROP * risen).all(1),
    }


def _others_wrong(member: Member, less: list[Member]) -> Tensor | None:
    """Images that another attacker gets wrong in most draws; None if there is none with these images."""
    same = [other for other in less if set(member.ids.tolist()) <= set(other.ids.tolist())]
    if not same:
        return None
    shares = [other.on(member.ids).outcomes.double().mean(0) for other in same]
    return torch.stack(shares).amin(0) <= 0.5
