"""How drawings look, readable in grey and for color-blind readers, and how they are written."""

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Canvas

from vqexp.core.atomic import atomically

# Okabe & Ito's colors; series differ by marker as well, columns by line style
COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "os^Dv<>P*X"


def save(canvas: Canvas, stem: Path) -> list[Path]:
    """Write a PDF and a PNG, without a date, so that the same drawing is the same file."""
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in ("pdf", "png")]
    with atomically(paths[0]) as temporary:
        canvas.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    with atomically(paths[1]) as temporary:
        canvas.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    plt.close(canvas)
    return paths
