"""Rényi's radius beside PixelDP's, for all p1 and p2: Li et al., Figure 5."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from vqexp.certificates import Cohen, PixelDP, Renyi
from vqexp.core.plot import COLORS, save, shades

LEAST = 0.2  # of p1 + p2: appendix A, as for the largest two of ten classes
LEVELS = (0.25, 0.5, 1, 1.5, 2, 3)
RENYI, PIXELDP, COHEN = shades(COLORS[3], 3)  # of the color of STN, whose certificates they are


def draw_bounds(stem: Path, points: int = 121) -> list[Path]:
    """Write `STEM.pdf` and `STEM.png`: contours of both radii in units of sigma, and cuts along p1.

    points: of the grid along each axis. The paper draws two surfaces, of which one hides the other.
    """
    canvas, (plane, cuts) = plt.subplots(1, 2, figsize=(6.8, 3.2), layout="constrained")
    p1, p2 = np.meshgrid(np.linspace(0, 1, points), np.linspace(0, 0.5, points))
    valid = (p1 >= p2) & (p1 + p2 <= 1 + 1e-12) & (p1 + p2 >= LEAST)
    for kind, color, line in ((Renyi, RENYI, "solid"), (PixelDP, PIXELDP, "dashed")):
        radii = np.full(p1.shape, np.nan)
        radii[valid] = kind().radius(p1[valid], p2[valid], 1.0)
        radii[~np.isfinite(radii)] = np.nan
        lines = plane.contour(p1, p2, radii, LEVELS, colors=color, linestyles=line)
        for number in plane.clabel(lines, fmt="%g", inline=False):
            number.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        plane.plot([], [], color=color, linestyle=line, label=_name(kind))
    plane.set(
        xlabel="p(1), the largest probability",
        ylabel="p(2), the second largest",
        title="l2 radius / sigma, lines of equal radius",
    )
    plane.legend()
    along = np.linspace(0.5, 0.999, points)
    for certificate, color, line in (
        (Cohen(), COHEN, ":"),
        (Renyi(), RENYI, "-"),
        (PixelDP(), PIXELDP, "--"),
    ):
        radii = certificate.radius(along, 1 - along, 1.0)
        cuts.plot(along, radii, line, color=color, label=_name(type(certificate)))
    cuts.set(
        xlabel="p(1), with p(2) = 1 - p(1)",
        ylabel="l2 radius / sigma",
        title="l2 radius / sigma, two classes",
    )
    cuts.legend()
    cuts.grid(alpha=0.3)
    return save(canvas, stem)


def _name(kind: type) -> str:
    return {"Renyi": "Rényi"}.get(kind.__name__, kind.__name__)
