"""One color a defense in all figures; where a figure has several lines of a defense, shades of its color."""

from collections.abc import Sequence

from vqexp.core.plot import COLORS, shades
from vqexp.reports.analysis.points import Point

BLACK, BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = COLORS
NONE = "#777777"  # f alone, and series of several defenses
OF = {
    "randdisc": BLACK,
    "prd": BLUE,
    "swrd": VERMILLION,
    "additivenoise": GREEN,
    "stn": GREEN,
    "ctrw": PURPLE,
    "rna": ORANGE,
    "rpf": SKY,
}


def color_of(defense: str) -> str:
    """Returns the color of a defense, by its choice (`additive_noise`) or its name (`AdditiveNoise`)."""
    return OF.get(defense.lower().replace("_", ""), NONE)


def series_colors(points: Sequence[Point]) -> dict[str, str]:
    """Returns the color of each series: its defense's, or a shade of it."""
    defenses: dict[str, set[str]] = {}
    for point in points:
        defenses.setdefault(point.series, set()).add(point.defense)
    base = {name: color_of(min(found)) if len(found) == 1 else NONE for name, found in defenses.items()}
    colors: dict[str, str] = {}
    for color in dict.fromkeys(base.values()):
        names = [name for name in base if base[name] == color]
        colors |= dict(zip(names, shades(color, len(names)), strict=True))
    return colors
