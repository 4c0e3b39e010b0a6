"""An audit's curves as one picture: robust accuracy against eps, steps, restarts, draws and strength."""

from pathlib import Path

from matplotlib import pyplot as plt

from vqexp.audits.checks import SETTINGS, curve
from vqexp.audits.result import AuditResult
from vqexp.audits.strength import strength_curve
from vqexp.core.plot import MARKERS, save
from vqexp.core.text import defense_name
from vqexp.reports.render.audit_strength import draw_strength
from vqexp.reports.render.colors import color_of

ACROSS = 2  # panels
TITLES = {"eps": "eps (pixels in [0, 1])", "samples": "draws a gradient (EOT)"}


def draw_curves(result: AuditResult, path: Path) -> list[Path]:
    """Draws `path`.pdf and .png if there is a curve; returns the files. Error bars are 95 % intervals."""
    curves = {setting: curve(result.findings, setting) for setting in SETTINGS}
    curves = {setting: points for setting, points in curves.items() if len(points) > 1}
    strength = strength_curve(result.findings, result.config["defense"])
    count = len(curves) + (strength is not None)
    if not count:
        return []
    across, down = min(count, ACROSS), -(-count // ACROSS)
    canvas, axes = plt.subplots(
        down, across, figsize=(3.4 * across, 2.7 * down), squeeze=False, sharey=True, layout="constrained"
    )
    for axis in axes.flat[count:]:
        axis.axis("off")
    color = color_of(defense_name(result.config["defense"]))
    if strength is not None:
        draw_strength(axes.flat[count - 1], strength, color)
    for axis, (setting, points), marker in zip(axes.flat, curves.items(), MARKERS, strict=False):
        estimates = [member.accuracy for _, member in points]
        values = [100 * estimate.mean for estimate in estimates]
        low = [100 * (estimate.mean - estimate.ci95[0]) for estimate in estimates]
        high = [100 * (estimate.ci95[1] - estimate.mean) for estimate in estimates]
        axis.errorbar(
            [value for value, _ in points],
            values,
            yerr=[low, high],
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1.3,
            elinewidth=0.6,
        )
        axis.set(xlabel=TITLES.get(setting, setting), ylim=(-3, 103))
        axis.grid(alpha=0.3)
        if setting != "eps":
            axis.set_xscale("log", base=2)
            axis.set_xticks(
                [value for value, _ in points], [f"{value:g}" for value, _ in points], minor=False
            )
            axis.minorticks_off()
    n = strength.n if strength is not None else estimates[0].n
    for axis in axes[:, 0]:
        axis.set_ylabel(f"accuracy (%), n {n}" if strength is not None else f"robust accuracy (%), n {n}")
    return save(canvas, path)
