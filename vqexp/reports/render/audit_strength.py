"""The curve by a defense's strength, on the page of an audit: a table, and a panel of its picture."""

from matplotlib.axes import Axes

from vqexp.audits.result import AuditResult
from vqexp.audits.strength import StrengthCurve, strength_curve
from vqexp.core.text import percent
from vqexp.reports.render.row import markdown_row

LINES = {"without attack": "--", "under attack": "-"}  # the two accuracies of a point
OTHER = "#777777"  # color of an f that is not the audited one


def strength_table(result: AuditResult) -> list[str]:
    """Returns the table, a column for each strength; nothing if no row of the curve was run."""
    curve = strength_curve(result.findings, result.config["defense"])
    if curve is None:
        return []
    lines = []
    for name, points in curve.series.items():
        for place, accuracy in enumerate(LINES):
            found = {point.strength: percent(point.accuracies[place].accuracy) for point in points}
            label = ", ".join([accuracy, *([name] if name else [])])
            lines.append(markdown_row([f"{label}, %", *(found.get(each, "") for each in curve.strengths)]))
    return [
        f"## Accuracy by the defense's strength (n {curve.n})",
        "",
        f"Its {curve.setting} is {curve.value:g} in this audit. The attack knows the defense, and is a cheap "
        "one: it is no part of the worst case.",
        "",
        markdown_row([curve.setting, *(f"{each:g}" for each in curve.strengths)]),
        markdown_row(["---"] * (len(curve.strengths) + 1)),
        *lines,
        "",
    ]


def draw_strength(axis: Axes, curve: StrengthCurve, color: str) -> None:
    """Draws both accuracies of each series over the strength."""
    for name, points in curve.series.items():
        for place, (accuracy, line) in enumerate(LINES.items()):
            estimates = [point.accuracies[place].accuracy for point in points]
            axis.errorbar(
                [point.strength for point in points],
                [100 * each.mean for each in estimates],
                yerr=[
                    [100 * (each.mean - each.ci95[0]) for each in estimates],
                    [100 * (each.ci95[1] - each.mean) for each in estimates],
                ],
                color=OTHER if name else color,
                linestyle=line,
                marker="s" if name else "o",
                markersize=5,
                linewidth=1.3,
                elinewidth=0.6,
                label=", ".join([accuracy, *([name] if name else [])]),
            )
    axis.set_xscale("log", base=2)
    axis.set_xticks(curve.strengths, [f"{each:g}" for each in curve.strengths], minor=False)
    axis.minorticks_off()
    axis.set(xlabel=f"strength: {curve.setting}", ylim=(-3, 103))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=6)
