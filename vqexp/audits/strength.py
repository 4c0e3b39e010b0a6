"""The strength of a defense: the setting that it declares, and the values around it that a curve takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from vqexp.audits.checks import Finding
from vqexp.core.components import build
from vqexp.core.errors import ConfigError, SenselessError, one_line
from vqexp.defenses import adapted
from vqexp.metrics import Member

STRENGTH = "strength"  # the kind of an audit's rows that are points of the curve
AUDITED = f"{STRENGTH} x 1"  # the point at the audited strength


def strength_of(defense: Mapping[str, Any]) -> tuple[str, float]:
    """Returns the name of the setting that a defense declares as its strength, and its value.

    defense: its settings. Raises `SenselessError` if it declares none.
    """
    built = adapted(build("defense", defense, (nn.Module,)))
    if built.strength is None:
        raise SenselessError(
            f"{built.name} declares no strength setting; its class would name one, as in strength = 'sigma'"
        )
    value = defense.get(built.strength, getattr(built, built.strength, None))
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise SenselessError(f"defense.{built.strength} is {value!r}, which has no multiples")
    return built.strength, value


def multiplied(value: float, multiple: float) -> float:
    """Returns a multiple of a strength, rounded where that is an integer."""
    return round(multiple * value) if isinstance(value, int) else multiple * value


def at_strength(defense: Mapping[str, Any], multiple: float, shape: Sequence[int]) -> dict[str, float]:
    """Returns the defense's strength setting at a multiple of its value.

    shape: (C, H, W) of the images. Raises `SenselessError` if the defense declares none or refuses the value.
    """
    name, value = strength_of(defense)
    changed = {name: multiplied(value, multiple)}
    try:
        adapted(build("defense", {**defense, **changed}, (nn.Module,))).check(shape)
    except ConfigError as error:
        raise SenselessError(one_line(error)) from error
    return changed


@dataclass(frozen=True)
class Point:
    """A defense at one strength. accuracies: the outcomes without and under attack."""

    strength: float
    accuracies: tuple[Member, Member]


@dataclass(frozen=True)
class StrengthCurve:
    """setting: the strength's name; value: that of the audited defense. series: name of f -> its points in
    order of strength; the audited f has no name. n: images.
    """

    setting: str
    value: float
    series: Mapping[str, Sequence[Point]]
    n: int

    @property
    def strengths(self) -> list[float]:
        """Those of all points, in order."""
        return sorted({point.strength for points in self.series.values() for point in points})


def strength_curve(findings: Mapping[str, Finding], defense: Mapping[str, Any]) -> StrengthCurve | None:
    """Returns the curve that these rows make; None without any. defense: the settings of the audited one."""
    rows = {label: finding for label, finding in findings.items() if finding.kind == STRENGTH}
    if not rows:
        return None
    (setting, value), n = strength_of(defense), 0
    series: dict[str, list[Point]] = {}
    for label, finding in rows.items():
        assert finding.natural is not None
        assert finding.member is not None
        _, _, name = label.partition(", ")
        strength, n = finding.record.config["defense"][setting], len(finding.member.ids)
        series.setdefault(name, []).append(Point(strength, (finding.natural, finding.member)))
    ordered = {name: sorted(each, key=lambda point: point.strength) for name, each in series.items()}
    return StrengthCurve(setting, value, ordered, n)
