"""What `vqexp.audit` returns: verdict, worst case, attack checks; as text, page, table and JSON too."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vqexp.audits.checks import Check
from vqexp.audits.result import AuditResult
from vqexp.audits.standing import headline
from vqexp.audits.strength import STRENGTH
from vqexp.audits.tries import Tries, by_tries
from vqexp.audits.verdict import trust
from vqexp.core.atomic import write_atomically
from vqexp.core.config import finite
from vqexp.core.errors import WorkError, require
from vqexp.core.estimate import Estimate
from vqexp.core.text import interval
from vqexp.reports.render.audit_curves import draw_curves
from vqexp.reports.render.audit_html import audit_html
from vqexp.reports.render.audit_page import audit_page, left_out_lines

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100  # columns of what is printed
SHAPES = (".html", ".md", ".json")


@dataclass(frozen=True)
class WorstCase:
    """Over all attacks, image by image the one with the lowest mean margin on draws that are not reported.

    mean: robust accuracy in [0, 1]; interval: of 95 % (`vqexp.core.estimate.proportion`). ids (n,): the
    images' places in what was given, ascending; per_image (n,): of an image's draws the share that is right;
    attack: the label of each image's attack.
    """

    mean: float
    interval: tuple[float, float]
    ids: Tensor
    per_image: Tensor
    attack: list[str]


@dataclass(frozen=True)
class AuditReport:
    """model: its name. call: what made it. notes: what was measured of the model. result: all rows."""

    model: str
    call: str
    notes: Sequence[str]
    result: AuditResult

    @cached_property
    def head(self) -> dict[str, str]:
        """The headline's texts by name (`vqexp.audits.standing.headline`)."""
        return headline(self.result)

    @property
    def verdict(self) -> str:
        """One of `vqexp.audits.verdict.RULES`, such as `BROKEN`; or `INCOMPLETE (14 of 40 rows)`."""
        return self.head["verdict"]

    @property
    def worst_case(self) -> WorstCase:
        """The worst case over all attacks. Raises `WorkError` if none was run."""
        worst = self.result.worst
        if worst is None:
            raise WorkError("no attack was run, so there is no worst case")
        order, found = worst.member.ids.argsort(), worst.member.accuracy
        return WorstCase(
            found.mean,
            found.ci95,
            worst.member.ids[order],
            worst.member.outcomes.double().mean(0)[order],
            [self.result.counted[int(place)] for place in worst.chosen[order]],
        )

    @property
    def attack_checks(self) -> Sequence[Check]:
        """Whether the attacks are strong enough to be trusted."""
        return self.result.checks

    @property
    def tries(self) -> Sequence[Tries]:
        """The worst case where the attacker may try N times, or N draws vote; none if no attack was run."""
        return by_tries(self.result.worst.member) if self.result.worst else []

    def to_frame(self) -> "pd.DataFrame":
        """A row for each attack: accuracies as fractions, and on how many images it is the strongest."""
        import pandas as pd  # slow to import

        return pd.DataFrame(self._rows())

    def to_json(self) -> str:
        """Verdict, worst case with each image's, rows and attack checks."""
        worst = self.worst_case if self.result.worst else None
        found = {
            "verdict": self.verdict,
            "line": self.head["line"],
            "call": self.call,
            "notes": list(self.notes),
            "worst_case": worst
            and {
                "mean": worst.mean,
                "interval": worst.interval,
                "ids": worst.ids.tolist(),
                "per_image": worst.per_image.tolist(),
                "attack": worst.attack,
            },
            "tries": [vars(each) for each in self.tries],
            "rows": self._rows(),
            "attack_checks": [vars(check) for check in self.attack_checks],
            "left_out": dict(self.result.left_out),
        }
        return json.dumps(finite(found), indent=1)

    def save(self, path: str | Path) -> Path:
        """Writes the page, `*.html` or `*.md`, or `*.json`, to `path`, and returns it.

        Raises `ConfigError` for another ending.
        """
        path = Path(path)
        require(path.suffix in SHAPES, f"{path} must end in {', '.join(SHAPES)}")
        text = self.to_json() if path.suffix == ".json" else self._page(path.suffix == ".html")
        write_atomically(path, text.encode())
        return path

    def _page(self, html: bool) -> str:
        text = audit_page(self.result, self.call, notes=self.notes)
        if not html:
            return text
        with TemporaryDirectory() as folder:
            drawn = draw_curves(self.result, Path(folder) / "curves")
            return audit_html(text, [path for path in drawn if path.suffix == ".png"])

    def _rows(self) -> list[dict[str, Any]]:
        found, shares = [], self.result.shares()
        for label, finding in self.result.findings.items():
            name = "robust_accuracy" if finding.member else "natural_accuracy"
            accuracy = finding.record.metrics.get(name)
            if accuracy is None:  # of gradients
                continue
            found.append(
                {
                    "attack": label,
                    "kind": finding.kind,
                    "accuracy": accuracy.mean,
                    "low": accuracy.ci95[0],
                    "high": accuracy.ci95[1],
                    "vote": finding.record.metrics[f"{name}_vote"].mean,
                    "every_draw": finding.record.metrics[f"{name}_all"].mean,
                    "worst_on": shares.get(label),
                    "runs": accuracy.runs,
                    "n": accuracy.n,
                }
            )
        return found

    def __str__(self) -> str:
        """One screen: the verdict, what was measured, a line an attack, trust, what was left out."""
        lines = [self.head["line"], "", *self.notes, ""]
        for row in self._rows():
            if row["kind"].startswith(("curve", STRENGTH)):
                continue
            worst = f"  worst on {row['worst_on']} of {row['n']}" if row["worst_on"] else ""
            accuracy = Estimate(row["accuracy"], 0, row["runs"], row["n"], (row["low"], row["high"]))
            lines.append(
                f"  {row['attack']:<40} {100 * row['accuracy']:5.1f} % {interval(accuracy):<13}{worst}"
            )
        lines += ["", *trust(self.result.checks, complete=not self.result.missing)]
        left = left_out_lines(self.result.left_out, self.result.missing)
        lines += [textwrap.shorten(line, 5 * WIDTH, placeholder=" ...") for line in left]
        return "\n".join("\n".join(textwrap.wrap(line, WIDTH, subsequent_indent="  ")) for line in lines)

    __repr__ = __str__
