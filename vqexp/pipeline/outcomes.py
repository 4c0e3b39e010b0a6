"""How often each image was right: carried by a record, so that cells on the same images compare in pairs."""

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqexp.core.estimate import widened
from vqexp.core.keys import key_of
from vqexp.core.store import Store
from vqexp.pipeline.record import Record, Right

COUNTED = {"natural_accuracy": "natural", "robust_accuracy": "adversarial"}  # what counts call these images
COUNT_OR_PLACE = ("n", "train_n", "root", "download")  # of a dataset: a larger n adds images at the end
MOST_RUNS = 255  # that a byte holds


@dataclass(frozen=True)
class Outcomes:
    """shares (n,): of an image's draws those that were right, or a difference of such shares.

    ids: hash of which images. ends: the least and the largest value that an entry can have. order: hash of
    the order of which these are the first n; empty if that is not known. over_draws: what shared draws
    add to the mean's interval (`Estimate.over_draws`).
    """

    ids: str
    shares: NDArray[np.float64]
    ends: tuple[float, float] = (0.0, 1.0)
    order: str = ""
    over_draws: float = 0.0

    def less(self, other: "Outcomes") -> "Outcomes | None":
        """Image by image, on those that both are about; None if these cannot be told."""
        n = min(len(self.shares), len(other.shares))
        if self.ids == other.ids:
            if len(self.shares) != len(other.shares):
                return None
        elif not self.order or self.order != other.order:
            return None
        ids = self.ids if len(self.shares) == n else other.ids
        ends = self.ends[0] - other.ends[1], self.ends[1] - other.ends[0]
        over_draws = math.hypot(self.over_draws, other.over_draws)
        return Outcomes(ids, self.shares[:n] - other.shares[:n], ends, self.order, over_draws)

    def interval(self) -> tuple[float, float]:
        """A 95 % interval of the mean over all images and draws that these are a sample of.

        Over the images as Agresti & Min 2005 adjust Wald's for matched proportions: half an image more at
        either end and one in the middle, so that a few images which all agree leave some doubt. An image's
        mean over several draws varies no more than a single outcome, so it serves means too. Draws that all
        images share are allowed for as in `vqexp.core.estimate.proportion`.
        """
        from statsmodels.stats.weightstats import DescrStatsW  # takes a second to import

        values = np.append(self.shares, [*self.ends, sum(self.ends) / 2])
        weights = np.append(np.ones(len(self.shares)), [0.5, 0.5, 1])
        low, high = map(float, DescrStatsW(values, weights).zconfint_mean())
        return widened((low + high) / 2, (low, high), self.over_draws, unit="")


def with_outcomes(record: Record, store: Store) -> Record:
    """The record, with the outcomes that the store's counts have of it, if they are there."""
    artifact = None if record.outcomes else store.load("counts", record.key)
    if artifact is None:
        return record
    found, counts = {}, artifact.tensors
    for metric, kind in COUNTED.items():
        runs = int(counts.get(f"{kind}_report_runs", 0))
        if metric in record.metrics and 0 < runs <= MOST_RUNS:
            ids = ids_of(record.config["dataset"], counts["ids"].tolist())
            found[metric] = packed(ids, counts[f"{kind}_report_correct"].numpy(), runs)
    return record.model_copy(update={"outcomes": found}) if found else record


def outcomes_of(record: Record, metric: str) -> Outcomes | None:
    """Those that the record carries of an accuracy; None if it has none."""
    kept = record.outcomes.get(metric)
    if kept is None:
        return None
    order, over_draws = order_of(record.config["dataset"]), record.metrics[metric].over_draws
    return Outcomes(kept.ids, unpacked(kept) / kept.runs, order=order, over_draws=over_draws)


def order_of(dataset: Mapping[str, Any]) -> str:
    """A hash of the order in which images are taken from a dataset with these settings."""
    return key_of({name: value for name, value in dataset.items() if name not in COUNT_OR_PLACE})


def ids_of(dataset: Mapping[str, Any], ids: Sequence[int]) -> str:
    """A hash of which images of the dataset these are."""
    return key_of(dataset["name"], list(ids))


def written_outcomes(ids: str, order: str, right: NDArray[Any], runs: int, over_draws: float) -> str:
    """How often each image was right, (n,), as one word; `read_outcomes` reads it."""
    kept = packed(ids, right, runs)
    return f"{ids}:{order}:{runs}:{kept.right}:{over_draws:.6g}"


def read_outcomes(text: str) -> Outcomes:
    """The outcomes that `written_outcomes` wrote; without `over_draws` in older pages."""
    ids, order, runs, right, over_draws = f"{text}:0".split(":")[:5]
    kept = Right(ids=ids, right=right, runs=int(runs))
    return Outcomes(ids, unpacked(kept) / kept.runs, order=order, over_draws=float(over_draws))


def packed(ids: str, right: NDArray[Any], runs: int) -> Right:
    """How often each image was right, (n,) of at most `MOST_RUNS`, as a record carries it."""
    data = zlib.compress(right.astype(np.uint8).tobytes(), 9)
    return Right(ids=ids, right=base64.b64encode(data).decode(), runs=runs)


def unpacked(kept: Right) -> NDArray[np.uint8]:
    """How often each image was right, (n,)."""
    return np.frombuffer(zlib.decompress(base64.b64decode(kept.right)), np.uint8)
