"""An audit's curves as one picture: robust accuracy against eps, steps, restarts and draws."""

from pathlib import Path

from matplotlib import pyplot as plt

from vqexp.audits.checks import SETTINGS, curve
from vqexp.audits.result import AuditResult
from vqexp.core.estimate import proportion
from vqexp.core.plot import MARKERS, save
from vqexp.core.text import defense_name
from vqexp.reports.render.colors import color_of

ACROSS = 2  # panels
TITLES = {"eps": "eps (pixels in [0, 1])", "samples": "draws a gradient (EOT)"}


def draw_curves(result: AuditResult, path: Path) -> list[Path]:
    """Draws `path`.pdf and .png if there is a curve; returns the files. Error bars are 95 % intervals."""
    curves = {setting: curve(result.findings, setting) for setting in SETTINGS}
    curves = {setting: points for setting, points in curves.items() if len(points) > 1}
    if not curves:
        return []
    across, down = min(len(curves), ACROSS), -(-len(curves) // ACROSS)
    canvas, axes = plt.subplots(
        down, across, figsize=(3.4 * across, 2.7 * down), squeeze=False, sharey=True, layout="constrained"
    )
    for axis in axes.flat[len(curves) :]:
        axis.axis("off")
    color = color_of(defense_name(result.config["defense"]))
    for axis, (setting, points), marker in zip(axes.flat, curves.items(), MARKERS, strict=False):
        estimates = [proportion(member.outcomes) for _, member in points]
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
    for axis in axes[:, 0]:
        axis.set_ylabel(f"robust accuracy (%), n {estimates[0].n}")
    return save(canvas, path)
