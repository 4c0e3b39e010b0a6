"""How drawings look, readable in grey and for color-blind readers, and how they are written."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Canvas

from vqexp.core.atomic import atomically

# Okabe & Ito's colors; series differ by marker as well, columns by line style
COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^Dv<>P*X"
DPI = 200  # of a PNG
FONT = 9  # points, of every text in a drawing
DARKEST, LIGHTEST = -0.4, 0.55  # how far shades are mixed with black and with white

plt.rc("font", size=FONT)
plt.rc("figure", titlesize=FONT, labelsize=FONT)
plt.rc("axes", titlesize=FONT, labelsize=FONT)
plt.rc("xtick", labelsize=FONT)
plt.rc("ytick", labelsize=FONT)
plt.rc("legend", fontsize=FONT)


def save(canvas: Canvas, stem: Path) -> list[Path]:
    """Write a PDF and a PNG, without a date, so that the same drawing is the same file."""
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in ("pdf", "png")]
    with atomically(paths[0]) as temporary:
        canvas.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    with atomically(paths[1]) as temporary:
        canvas.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(canvas)
    return paths


def shades(color: str, count: int) -> list[str]:
    """Return `count` shades of the color from dark to light; the color itself if it is one."""
    mixed = np.linspace(DARKEST if count > 2 else 0, LIGHTEST, count) if count > 1 else [0.0]
    return [_mixed(color, float(share)) for share in mixed]


def _mixed(color: str, share: float) -> str:
    """Mix the color with white or, if `share` is negative, with black."""
    r, g, b = (part + share * (1 - part if share >= 0 else part) for part in to_rgb(color))
    return to_hex((r, g, b))
