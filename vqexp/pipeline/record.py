"""What the record of a run is."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vqexp.core.config import finite
from vqexp.core.estimate import Estimate
from vqexp.pipeline.older import FORMAT


class _Part(BaseModel):
    """Immutable, and strict: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MadeFor(_Part):
    """The cell that a run was made for, and what the paper reports there in percent, if anything."""

    table: str
    row: str
    column: str
    metric: str | None = None
    mean: float | None = None
    std: float | None = None
    source: str | None = None


class Counts(_Part):
    """Where the store keeps the per-image counts, and the key of the adversarial images they are about."""

    file: str
    images: str


class Right(_Part):
    """How often each image was right: `right` of `runs` draws, as zlib'd bytes in base64.

    ids: hash of the dataset's name and the images' ids in order.
    """

    ids: str
    right: str
    runs: int


class Provenance(_Part):
    """Where the numbers come from. seconds: by stage. versions: by group. training: on which machine.

    backend: what computed the defense, where there is a choice. images_at_once: by stage, how small batches
    became where memory ran out.
    tf32: on a GPU, whether convolutions in float32 were rounded to TF32, as torch does unless told otherwise.
    restored_from: the CSV from which the record was put together again, its store being lost.
    """

    version: str | None = None
    commit: str | None
    dirty: bool | None
    python: str | None = None
    libraries: dict[str, str]
    device: str
    seconds: dict[str, float]
    date: str
    versions: dict[str, int] = Field(default_factory=dict)
    training: dict[str, Any] | None = None
    backend: str | None = None
    tf32: bool | None = None
    images_at_once: dict[str, int] = Field(default_factory=dict)
    restored_from: str | None = None


class Record(_Part):
    """One run. config: resolved, as the components got it. classifier: what f is. outcomes: by accuracy.

    A published record has neither counts nor artifacts, which are its store's.
    """

    format: int = FORMAT
    key: str
    smoke: bool
    config: dict[str, Any]
    overrides: list[str]
    classifier: dict[str, Any]
    sources: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Estimate]
    reported: MadeFor | None
    facts: dict[str, Any]
    counts: Counts | None = None
    artifacts: dict[str, list[str]] | None = None
    provenance: Provenance
    outcomes: dict[str, Right] = Field(default_factory=dict)

    @field_validator("metrics", mode="before")
    @classmethod
    def _numbers(cls, metrics: Any) -> Any:
        """JSON has null for what is not finite: a mean of nothing, an interval without ends."""
        if not isinstance(metrics, Mapping):
            return metrics
        return {name: _completed(estimate) for name, estimate in metrics.items()}

    @property
    def scale(self) -> str:
        """The name of its scale."""
        return str(self.config["scale"]["name"])

    def plain(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        found = finite(self.model_dump(exclude_unset=True))
        return {"format": FORMAT, **found}


def _completed(estimate: Any) -> Any:
    if not isinstance(estimate, Mapping):
        return estimate
    numbers = {name: math.nan for name in ("mean", "std") if estimate.get(name, 0) is None}
    low, high = estimate.get("ci95") or (None, None)
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return {**estimate, **numbers, "ci95": ends}
