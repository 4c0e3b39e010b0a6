"""An audit while it runs: a line for each row, with the worst case so far."""

from functools import cache
from pathlib import Path

from vqexp.audits.checks import percent_of
from vqexp.audits.members import KINDS, load_audit
from vqexp.audits.result import counts_of, members_of
from vqexp.core.config import CONF
from vqexp.core.store import Store
from vqexp.metrics import Member, worst_case
from vqexp.pipeline.record import Record
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.settings import from_overrides
from vqexp.reports.spec.table import AUDIT

SHOWN = ("robust_accuracy", "natural_accuracy")  # the first that a row has


class Running:
    """The rows of an audit that this process has run."""

    def __init__(self) -> None:
        self._kinds = load_audit(read_settings(CONF / "table" / f"{AUDIT}.yaml")).kinds()
        self._members: list[Member] = []

    def line(self, record: Record, root: str | Path, place: str, seconds: float) -> str:
        """Returns `row 9 of 39  PGD, margin  ste  12.5 % [4, 28]  1:12  worst so far 12.5 %`.

        place: `9 of 39`. root: of the store that has the record's counts.
        """
        if place.startswith("1 of"):  # two audits may have started in the same second
            self._members.clear()
        label = record.reported.row if record.reported else ""
        member, _ = members_of(record, counts_of(record, Store(root)))
        if member is not None and self._kinds.get(label) in KINDS:
            self._members.append(member)
        adversary = str(from_overrides(record.overrides).get("adversary", ""))
        minutes, rest = divmod(round(seconds), 60)
        parts = [
            f"row {place:<8}",
            f"{label:<34.34}",
            f"{adversary:<9}",
            f"{_found(record):<18}",
            f"{minutes}:{rest:02}",
        ]
        so_far = [f"worst so far {percent_of(self._worst())}"] if self._members else []
        return "  ".join([*parts, *so_far])

    def _worst(self) -> float:
        return worst_case(self._members).estimates()["mean"].mean


def _found(record: Record) -> str:
    """The row's accuracy with its interval, or what the control finds, or where the gradient vanishes."""
    for name in SHOWN:
        if name in record.metrics:
            low, high = record.metrics[name].ci95
            return f"{percent_of(record.metrics[name].mean)} [{100 * low:.0f}, {100 * high:.0f}]"
    if "control_found" in record.metrics:
        found = record.metrics["control_found"]
        return f"finds {percent_of(found.mean)}" if found.n else "no points known"
    zero = record.metrics.get("natural_gradient_all_zero")
    return "" if zero is None else f"zero on {percent_of(zero.mean)}"


@cache
def running(group: str | None) -> Running:
    """The rows of the audit with this name that this process has run."""
    return Running()
