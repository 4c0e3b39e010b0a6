"""The worst of several attacks, image by image, without the luck of a draw.

For each image the member with the lowest mean margin on `select` draws counts, with its `report` draws. A
minimum over what is reported would be biased low: with enough members a fair coin would look broken.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqexp.core.estimate import Estimate, proportion, spread

NORMAL = 1.96  # standard errors in half a 95 % interval


@dataclass(frozen=True)
class Member:
    """What is known of one attack on n images, all on the same defense.

    ids (n,); margin (n,): mean over `select` draws. outcomes (runs, n), vote and all (groups, n): bool, on
    `report` draws. shared: all images of a run share one.
    """

    ids: Tensor
    margin: Tensor
    outcomes: Tensor
    vote: Tensor
    all: Tensor
    shared: bool = False

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, Tensor], kind: str = "adversarial", *, shared: bool = False
    ) -> "Member":
        """From the counts that `Accuracy` leaves in a record."""
        return cls(
            counts["ids"],
            counts[f"{kind}_select_margin"],
            counts[f"{kind}_report_outcomes"],
            counts[f"{kind}_report_vote"],
            counts[f"{kind}_report_all"],
            shared,
        )

    @property
    def accuracy(self) -> Estimate:
        """Of one draw."""
        return proportion(self.outcomes, shared=self.shared)

    def on(self, ids: Tensor) -> "Member":
        """The same on the images `ids`, in their order; all must be among this member's."""
        places = {int(number): place for place, number in enumerate(self.ids)}
        rows = torch.tensor([places[int(number)] for number in ids], dtype=torch.int64)
        outcomes, vote, every = (each[:, rows] for each in (self.outcomes, self.vote, self.all))
        return Member(ids, self.margin[rows], outcomes, vote, every, self.shared)


def common_ids(members: Sequence[Member]) -> Tensor:
    """The images that all members attacked, in the order of the first."""
    shared = set.intersection(*(set(member.ids.tolist()) for member in members))
    return torch.tensor([number for number in members[0].ids.tolist() if number in shared], dtype=torch.int64)


@dataclass(frozen=True)
class WorstCase:
    """chosen (n,): each image's member, by its place; member: their outcomes put together."""

    chosen: Tensor
    member: Member

    def estimates(self) -> dict[str, Estimate]:
        """By protocol: `mean` (one draw), `vote`, `all`."""
        return {
            "mean": self.member.accuracy,
            "vote": proportion(self.member.vote),
            "all": proportion(self.member.all),
        }


def worst_case(members: Sequence[Member]) -> WorstCase:
    """Over the images that all members attacked; at least one member."""
    ids = common_ids(members)
    aligned = [member.on(ids) for member in members]
    margins = torch.stack([member.margin for member in aligned])
    chosen = margins.argmin(0)

    def pick(parts: list[Tensor]) -> Tensor:
        return torch.stack(parts)[chosen, ..., torch.arange(len(ids))].T

    return WorstCase(
        chosen,
        Member(
            ids,
            margins.amin(0),
            pick([member.outcomes for member in aligned]),
            pick([member.vote for member in aligned]),
            pick([member.all for member in aligned]),
            any(member.shared for member in aligned),
        ),
    )


def gap(first: Member, second: Member) -> tuple[float, float]:
    """Accuracy under `first` less that under `second` on common images, and its standard error (paired)."""
    ids = common_ids([first, second])
    first, second = first.on(ids), second.on(ids)
    difference = first.outcomes.double().mean(0) - second.outcomes.double().mean(0)
    if len(ids) < 2:
        return float(difference.mean()), math.inf
    over_images = float(difference.std() / math.sqrt(len(ids)))
    return float(difference.mean()), math.hypot(over_images, draws_apart(first, second) / NORMAL)


def draws_apart(first: Member, second: Member) -> float:
    """Half of the 95 % interval of two accuracies' difference over shared draws alone (Student, Welch).

    Run by run where they have as many runs: the same draws judge both then. 0 where no draws are shared.
    """
    if not (first.shared or second.shared):
        return 0.0
    ours, theirs = (member.outcomes.double().mean(1) for member in (first, second))
    if len(ours) == len(theirs):
        return spread((ours - theirs).tolist())
    return spread(ours.tolist(), theirs.tolist())
