"""What an audit is: a table whose rows are attacks, curves and gradient diagnostics on one defense."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any

from vqexp.audits.strength import STRENGTH
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.claims import load_claims
from vqexp.reports.spec.shape import check_shape
from vqexp.reports.spec.table import Table, check_parts

KINDS = ("white_box", "oblivious", "transfer", "black_box")  # whose worst case counts
CURVES = {
    # at most 1, which is the whole box in l-inf
    "eps": "attack.eps='${{least:${{equal:${{attack.norm}},l2,null,1}},"
    "${{mul:{value},${{equal:${{attack.norm}},l2,${{preset.eps_l2}},${{preset.eps}}}}}}}}'",
    "steps": "attack.steps={value}",
    "restarts": "attack.restarts={value}",
    "samples": "adversary.samples={value}",
}


@dataclass(frozen=True)
class Audit(Table):
    """A table whose rows are attacks on one defense, as `conf/table/audit.yaml` describes them.

    judged: overrides of all rows but the gradients and the positive control. strong: overrides of rows
    marked `strong`. curves: setting -> {values, series, overrides}. strength: of the curve by the strength
    that the defense declares, {adversaries, overrides, trainings: [{label, multiples, tuned}]}. fine_tuning:
    overrides of the rows that are `tuned`. gradients: rows of `metric=gradients`. surrogate: overrides of the
    row of kind `transfer`. without: parts of labels that are left out.
    """

    judged: list[str] = field(default_factory=list)
    strong: list[str] = field(default_factory=list)
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    strength: dict[str, Any] = field(default_factory=dict)
    fine_tuning: list[str] = field(default_factory=list)
    gradients: list[dict[str, Any]] = field(default_factory=list)
    surrogate: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    def all_rows(self) -> list[dict[str, Any]]:
        """Returns all rows, of members, curves and gradients: label, kind, adversaries, overrides."""
        rows = []
        for row in self.rows:
            control = row["kind"] == "control"
            own = [
                *([] if control else self.judged),
                *(self.strong if row.get("strong") else []),
                *row.get("overrides", []),
            ]
            own += self.surrogate if row["kind"] == "transfer" else []
            own.append(f"dataset.n=${{scale.audit.{'curves' if control else 'members'}}}")
            rows.append({**row, "overrides": own})
        for name, curve in self.curves.items():
            for value, series in product(curve["values"], curve["series"]):
                own = [*self.judged, *curve["overrides"], CURVES[name].format(value=value)]
                rows.append(
                    {
                        "label": f"curve: {name} {value}, {series[0]}",
                        "kind": f"curve {name}",
                        "adversaries": series,
                        "overrides": [*own, "dataset.n=${scale.audit.curves}"],
                    }
                )
        rows += self._strengths()
        for row in self.gradients:
            own = ["metric=gradients", "attack=none", "dataset.n=${scale.audit.curves}"]
            label = f"gradients: {row['label']}"
            rows.append({**row, "label": label, "kind": "gradients", "overrides": own})
        return rows

    def _strengths(self) -> list[dict[str, Any]]:
        """The rows of the curve by strength: each says at which multiple of the audited one."""
        curve = self.strength
        return [
            {
                "label": f"{STRENGTH} x {multiple:g}{training['label']}",
                "kind": STRENGTH,
                "adversaries": curve["adversaries"],
                "overrides": [
                    *self.judged,
                    *curve["overrides"],
                    *(self.fine_tuning if training["tuned"] else []),
                    "dataset.n=${scale.audit.curves}",
                ],
                "multiple": multiple,
            }
            for training in curve.get("trainings", ())
            for multiple in training["multiples"]
        ]

    def multiples(self) -> dict[str, float]:
        """Returns the rows of the curve by strength, by label: at which multiple of the audited one."""
        return {row["label"]: row["multiple"] for row in self._strengths()}

    def attempts(self) -> list[list[Cell]]:
        """Returns the candidate cells of each row that is to be run."""
        return [choices for choices in self.choices() if self._asked(choices[0].row)]

    def _asked(self, label: str) -> bool:
        wanted = self.only_rows is None or any(part in label for part in self.only_rows)
        return wanted and not any(part in label for part in self.without)

    def choices(self) -> list[list[Cell]]:
        """Returns for each row one candidate cell per adversary, the preferred one first."""
        column = self.columns["robust"]
        found = []
        for row in self.all_rows():
            adversaries = [f"adversary={name}".split() for name in row.get("adversaries", [])] or [[]]
            found.append(
                [
                    self._cell({**row, "overrides": [*choice, *row["overrides"]]}, "robust", column)
                    for choice in adversaries
                ]
            )
        return found

    def kinds(self) -> dict[str, str]:
        """Returns the kind of each row, by label."""
        return {row["label"]: row["kind"] for row in self.all_rows()}


def load_audit(settings: Mapping[str, Any]) -> Audit:
    """Returns the audit that a config describes; raises `ConfigError` for a row that does not exist."""
    check_shape("table", settings, [each.name for each in fields(Audit)])
    audit = Audit(**{**settings, "claims": load_claims("table", settings.get("claims") or ())})
    check_parts("table.only_rows", audit.only_rows or (), audit.kinds())
    check_parts("table.without", audit.without, audit.kinds())
    return audit
