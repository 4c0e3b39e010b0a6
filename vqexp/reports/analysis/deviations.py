"""Whether the deviations that a paper reports can come from evaluation draws alone, or need whole attacks."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vqexp.pipeline.record import Record
from vqexp.reports.analysis.gather import Place
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.table import Table

RUNS = 10  # that the papers' deviations are over
TEST_IMAGES = {"imagenet": 50_000, "svhn": 26_032}  # that the papers judge
USUAL = 10_000
SOURCES = ("journal", "arXiv")  # papers whose deviations are over runs of one f


@dataclass(frozen=True)
class Deviation:
    """Of one cell, in points. draws: over evaluation draws, at the paper's number of images.

    attacks: likewise over whole runs, attack and evaluation, by several seeds; None for a single one.
    """

    cell: Cell
    reported: float
    draws: float
    attacks: float | None
    seeds: int

    @property
    def word(self) -> str:
        """Whether a deviation of `RUNS` draws from a normal of deviation `draws` can be the reported one."""
        from scipy.stats import chi2

        low, high = (math.sqrt(chi2.ppf(share, RUNS - 1) / (RUNS - 1)) for share in (0.025, 0.975))
        rounding = 0.005  # reported to two digits
        if self.reported + rounding < low * self.draws:
            return "smaller"
        return "larger" if self.reported - rounding > high * self.draws else "alike"


def deviations(table: Table, measured: Mapping[Place, Sequence[Record]]) -> list[str]:
    """Returns notes on the deviations that a paper reports of its runs; none without any to compare.

    measured: of each cell the records by seed.
    """
    if not table.source.startswith(SOURCES):
        return []
    cells = [cell for cell in table.cells() if "reported_as" not in table.columns[cell.column]]
    found = [each for cell in cells if (each := _deviation(cell, measured)) is not None]
    if not found:
        return []
    counts = {word: sum(each.word == word for each in found) for word in ("alike", "larger", "smaller")}
    note = (
        f"Standard deviations: {counts['alike']} of {len(found)} reported ones can come from evaluation "
        f"draws alone (those of {RUNS} draws here, scaled to the paper's number of images; chi-squared, "
        f"95 %); larger: {counts['larger']}, smaller: {counts['smaller']}."
    )
    repeated = [each for each in found if each.attacks is not None]
    if not repeated:
        return [note]
    told = "; ".join(
        f"{each.cell.row}, {each.cell.column}: {each.reported:.2f} | {each.draws:.2f} | {each.attacks:.2f}"
        for each in repeated
    )
    ratio = statistics.median(each.attacks / each.draws for each in repeated if each.attacks is not None)
    seeds = min(each.seeds for each in repeated)
    return [
        note,
        f"In points, reported | over evaluation draws | over whole attacks ({seeds} seeds): {told}. Median "
        f"ratio of the last two: {ratio:.2f}.",
    ]


def _deviation(cell: Cell, measured: Mapping[Place, Sequence[Record]]) -> Deviation | None:
    records = measured.get(cell.place, ())
    if not records or len(cell.reported or ()) < 2:
        return None
    assert cell.reported is not None
    estimates = [record.metrics[cell.metric] for record in records]
    first = estimates[0]
    draws = math.sqrt(statistics.fmean(each.std**2 for each in estimates))
    if first.runs < 2 or not first.known or draws == 0:
        return None
    images = TEST_IMAGES.get(cell.dataset, USUAL)
    scale = first.scale * math.sqrt(first.n / images)
    trained = any("data" in record.classifier for record in records)  # then seeds are other networks
    attacks = None
    if len(estimates) > 1 and not trained:
        # the seeds' means still hold a part of what their draws spread, and one run of a paper all of it
        between = statistics.variance(each.mean for each in estimates) - draws**2 / first.runs
        attacks = scale * math.sqrt(max(0.0, between) + draws**2)
    return Deviation(cell, cell.reported[1], scale * draws, attacks, len(estimates))
