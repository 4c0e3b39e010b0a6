"""What a cell of a table is: one number, the settings of its run, and what the paper reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from vqexp.core.config import CONF
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.settings import group_of, to_overrides

if TYPE_CHECKING:
    from vqexp.pipeline.record import MadeFor

TUNING = "training@fine_tuning"  # the name by which a cell chooses f's last training
TRAININGS = ("training", TUNING)
UNKNOWN = "???"  # of a choice that the command line completes


@dataclass(frozen=True)
class Cell:
    """One number of a table. reported: [mean, std] in percent, [mean], or None.

    settings: those of its run, as `{defense: prd, defense.k: 25}`. quoted: what to show instead of a
    measurement if the cell is not run; empty if it is. series, panel and x place it in a figure; in a table
    the row is the series.
    """

    table: str
    row: str
    column: str
    metric: str
    settings: Mapping[str, Any]
    reported: list[float] | None
    source: str = ""
    quoted: str = ""
    training: str | None = None
    series: str = ""
    panel: str = ""
    x: float | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Its row and its column."""
        return self.row, self.column

    @property
    def label(self) -> str:
        """`TABLE/ROW/COLUMN`, by which a run knows the cell that it is made for."""
        return f"{self.table}/{self.row}/{self.column}"

    @property
    def made_for(self) -> "MadeFor":
        """What the record of its run says about the cell."""
        from vqexp.pipeline.record import MadeFor  # torch is slow to import

        mean, std = [*(self.reported or []), None, None][:2]
        return MadeFor(
            table=self.table,
            row=self.row,
            column=self.column,
            metric=self.metric,
            mean=mean,
            std=std,
            source=self.source,
        )

    def overrides(self) -> list[str]:
        """Returns the overrides with which Hydra runs it."""
        return to_overrides({**self.settings, "cell": self.label})

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return str(self.settings.get("dataset", "digits"))

    @property
    def setup(self) -> tuple[tuple[str, Any], ...]:
        """The settings that f depends on: cells with the same setup can share a classifier.

        These are dataset, classifier and training and, if the cell has a training of its own or the defense
        stands inside f, the defense, because f is trained with it.
        """
        names = {"dataset", "classifier", "classifier.name", *TRAININGS}
        behind = not self.settings.keys().isdisjoint(TRAININGS) or installs(self.settings.get("defense"))
        return tuple(
            (name, value)
            for name, value in self.settings.items()
            if name in names or (behind and group_of(name) == "defense")
        )


@cache
def installs(choice: str | None) -> bool:
    """Whether the defense of `conf/defense/CHOICE.yaml` is layers inside f."""
    path = CONF / "defense" / f"{choice}.yaml"
    target = read_settings(path).get("_target_", UNKNOWN) if path.exists() else UNKNOWN
    if target == UNKNOWN:
        return False
    from vqexp.core.components import target_of  # torch is slow to import
    from vqexp.defenses import Defense

    kind = target_of("defense", {"_target_": target})
    return isinstance(kind, type) and issubclass(kind, Defense) and kind.install is not Defense.install
