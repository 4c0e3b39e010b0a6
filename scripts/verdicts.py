"""Draw what audits found beside what papers report: python scripts/verdicts.py AUDITS.csv FILE.png."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from vqexp.audits.verdict import INCOMPLETE
from vqexp.reports.analysis.texts import interval_from, settings_from, share_from, size_from
from vqexp.reports.spec.reported import reported

# what is drawn: a column of the audits, or a paper's value; its label, color and marker
MEASURED = {
    "natural": ("without attack", "#000000", "o"),
    "ignores": ("attacker ignores the defense", "#0072b2", "s"),
    "worst": ("attacker knows the defense", "#d55e00", "D"),
}
REPORTED = ("the paper: attacker knows the defense", "#d55e00", "x")
SIZE = 9  # of all letters


def finished(path: Path) -> list[dict[str, str]]:
    """Returns the rows of the audits that are complete and of which a paper reports something."""
    rows = list(csv.DictReader(path.open()))
    return [row for row in rows if not row["verdict"].startswith(INCOMPLETE) and "knows" in claims(row)]


def claims(row: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns what papers report of the audited defense, by attacker."""
    return reported(row["dataset"], row["defense"], settings_from(row["settings"]), size_from(row["eps"]))


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Draws a line for each audit."""
    plt.rcParams["font.size"] = SIZE
    canvas, axis = plt.subplots(figsize=(8, 1.3 + 0.6 * len(rows)), layout="constrained")
    for height, row in enumerate(rows):
        _draw_row(axis, height, row)
    names = [
        f"{row['defense']}{_settings(row)}\n{row['dataset']}, eps {row['eps']}, n {row['n']}" for row in rows
    ]
    axis.set_yticks(range(len(rows)), names)
    axis.set(xlim=(-2, 118), ylim=(len(rows) - 0.5, -0.5), xlabel="accuracy (%); the line is a 95 % interval")
    axis.set_xticks(range(0, 101, 20))
    axis.grid(axis="x", alpha=0.3)
    handles, labels = axis.get_legend_handles_labels()
    legend = dict(zip(labels, handles, strict=True))
    canvas.legend(legend.values(), legend, loc="outside upper center", ncols=2, frameon=False)
    canvas.savefig(path, dpi=200, metadata={"Software": None})


def _settings(row: Mapping[str, str]) -> str:
    found = settings_from(row["settings"])
    return "".join(f", {name}={found[name]}" for name in ("s", "k") if name in found)


def _draw_row(axis: Axes, height: int, row: Mapping[str, str]) -> None:
    for name, (label, color, marker) in MEASURED.items():
        share = share_from(row[name])
        if share is None:
            continue
        if name == "worst":
            axis.plot([100 * end for end in interval_from(row["interval"])], [height] * 2, color=color)
        axis.plot(100 * share, height, marker, color=color, markersize=7, label=label, clip_on=False)
    label, color, marker = REPORTED
    claim = claims(row)["knows"]
    axis.plot(claim.value, height, marker, color=color, markersize=8, label=label)
    if not claim.own:
        settings = ", ".join(f"{name}={value}" for name, value in claim.settings.items())
        axis.text(claim.value, height + 0.38, f"at {settings}", ha="center", color=color)
    axis.text(102, height, row["verdict"], va="center", weight="bold")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    try:
        draw(finished(source), target)
    except OSError as error:
        sys.exit(f"vqexp: {error}")
    print(target)
