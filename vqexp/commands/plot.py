"""vqexp plot x=SETTING y=METRIC [series=SETTING,...] [SETTING=VALUE ...] [store=STORE] [out=FILE]

Draws a metric over a setting, from the records of any sweep, with 95 % intervals, into FILE.pdf and FILE.png:

    vqexp plot x=defense.k y=robust_accuracy series=defense
    vqexp plot x=attack.eps y=robust_accuracy series=defense,attack dataset=cifar10 out=plots/eps

SETTING=VALUE takes only the records with that value. All settings are columns of `vqexp.load()`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqexp.commands.arguments import words_and_settings
from vqexp.core.errors import ConfigError, one_of, require
from vqexp.core.estimate import FRACTION
from vqexp.core.store import default_root
from vqexp.reports.analysis.points import Point
from vqexp.reports.render.plot import plot
from vqexp.reports.spec.figure import Figure
from vqexp.results import MEASURED, load

if TYPE_CHECKING:
    import pandas as pd


def run(arguments: Sequence[str]) -> None:
    """Draws what `arguments` describe and prints the files; raises `ConfigError` if they do not fit."""
    words, chosen = words_and_settings("plot", arguments)
    require(not words, f"vqexp plot takes settings alone, not {' '.join(words)}; --help shows how")
    source, out = chosen.pop("store", None), Path(chosen.pop("out", "plot"))
    for name in ("x", "y"):
        require(name in chosen, f"vqexp plot needs {name}=NAME; --help shows how")
    x, y = chosen.pop("x"), chosen.pop("y")
    series = [name for name in chosen.pop("series", "").split(",") if name]
    frame = load(source)
    require(len(frame), f"there are no records in {source or default_root()}")
    points = points_of(frame, x, y, series, chosen)
    unit = points[0].column
    figure = Figure(
        name=out.with_suffix("").name,
        title="",
        source="",
        kind="lines",
        table=None,
        shows=[unit],
        x_label=x,
        y_label=unit,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    print("\n".join(map(str, plot(figure, points, out.parent))))


def points_of(
    frame: "pd.DataFrame", x: str, y: str, series: Sequence[str], chosen: dict[str, str]
) -> list[Point]:
    """Returns a point for each record that has the metric `y` and the `chosen` settings.

    Raises `ConfigError` for what is no column or no number, and where two records share a place.
    """
    settings = [name for name in frame.columns if name not in MEASURED]
    one_of("y", y, sorted(frame["metric"].unique()))
    for name in (x, *series, *chosen):
        require(
            name in settings, f"{name} does not vary between these records; there is {', '.join(settings)}"
        )
    rows = frame[(frame["metric"] == y) & frame[x].notna()]
    for name, value in chosen.items():
        rows = rows[rows[name].astype(str).str.lower() == value.lower()]
        require(
            len(rows), f"no record with {y} and {x} has {name}={value}; it is one of {_values(frame, name)}"
        )
    _check_alone(rows, [x, *series], [name for name in settings if name not in (x, *series)])
    return [_point(row, x, series) for _, row in rows.iterrows()]


def _values(frame: "pd.DataFrame", name: str) -> str:
    return ", ".join(map(str, frame[name].dropna().unique()))


def _check_alone(rows: "pd.DataFrame", place: list[str], others: list[str]) -> None:
    """Raises `ConfigError` if two rows share their `place`, naming the settings in which they differ."""
    for values, group in rows.groupby(place, dropna=False):
        if len(group) > 1:
            where = ", ".join(f"{name}={value}" for name, value in zip(place, values, strict=True))
            varying = [name for name in others if group[name].nunique(dropna=False) > 1]
            # a component's own settings say no more than its name
            differ = [name for name in varying if name.rpartition(".")[0] not in varying] or ["nothing"]
            advice = f"they differ in {', '.join(differ)}: add a setting to series=, or choose a value of it"
            raise ConfigError(f"{len(group)} records have {where}; {advice}")


def _point(row: "pd.Series[Any]", x: str, series: Sequence[str]) -> Point:
    if isinstance(row[x], bool) or not isinstance(row[x], int | float):
        raise ConfigError(f"x={x} has the value {row[x]!r}, which is no number")
    percent = row["unit"] == FRACTION
    scale = 100 if percent else 1
    mean, low, high = (scale * row[name] for name in ("mean", "low", "high"))
    label = f"{row['title'] or row['metric']} ({'%' if percent else row['unit']})".removesuffix(" ()")
    return Point(
        ", ".join(str(row[name]) for name in series), "", float(row[x]), label, mean, low, high, row["n"]
    )
