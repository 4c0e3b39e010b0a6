"""Numbers and settings as text."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from vqexp.core.estimate import FRACTION, Estimate

NORMS = {"linf": "l-inf", "l2": "l2", None: "l-inf"}
PAPERS_NAMES = {"PRD": "pRD", "SwRD": "swRD"}  # of the defenses that Python's style spells otherwise

AS_OBJECTS = ("in_memory", "RandomByItself")  # defenses that a Python caller gave


def defense_name(config: Mapping[str, Any]) -> str:
    """A defense as its paper spells it, from its settings in a record; an object's own name."""
    name = config["_target_"].rsplit(".", 1)[-1]
    if name in AS_OBJECTS:
        return str(config["name"])
    return PAPERS_NAMES.get(name, name)


def settings_of(config: Mapping[str, Any]) -> str:
    """A component's settings in a record as text: `s=3, k=25`; an object's are not known."""
    if config["_target_"].rsplit(".", 1)[-1] in AS_OBJECTS:
        return ""
    return ", ".join(f"{name}={value}" for name, value in config.items() if name != "_target_")


def value(estimate: Estimate) -> str:
    """Mean and, over several runs, standard deviation, with the unit: `61.20 (0.31) %`, `23.41 (0.02) dB`."""
    if not estimate.known:
        return "-"
    if estimate.unit == FRACTION:
        return f"{percent(estimate)} %"
    spread = f" ({estimate.std:.2g})" if estimate.runs > 1 and math.isfinite(estimate.std) else ""
    return f"{estimate.mean:.4g}{spread} {estimate.unit}".rstrip()


def shown(estimate: Estimate) -> str:
    """In a table: `61.20 (0.31)`, a fraction in percent; anything else with its unit."""
    return percent(estimate) if estimate.unit == FRACTION else value(estimate)


def percent(estimate: Estimate, digits: int = 2) -> str:
    """`61.20 (0.31)`: mean and, over several trainings or runs, standard deviation; a dash for no images."""
    if not estimate.known:
        return "-"
    several = estimate.runs > 1 or estimate.trainings
    spread = f" ({100 * estimate.std:.{digits}f})" if several else ""
    return f"{100 * estimate.mean:.{digits}f}{spread}"


def runs(estimate: Estimate) -> str:
    """`10`, or `10, 3 seeds`."""
    seeds = f", {len(estimate.trainings)} seeds" if estimate.trainings else ""
    return f"{estimate.runs}{seeds}"


def interval(estimate: Estimate) -> str:
    """`[58.1, 64.2]`: percent for a fraction, else in the estimate's own unit.

    `exact` for what is no sample's; a dash if nothing is known.
    """
    low, high = estimate.ci95
    if estimate.exact and low == high:
        return "exact"
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    if estimate.unit != FRACTION:
        return f"[{low:.4g}, {high:.4g}]"
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def span(counts: Iterable[int]) -> str:
    """`500`, or `456 to 498` where they differ; nothing for none."""
    found = sorted(set(counts))
    return " to ".join(str(count) for count in dict.fromkeys((*found[:1], *found[-1:])))


def size_of(eps: float) -> str:
    """An eps in [0, 1] pixels as papers write it: `8/255`, `0.3`."""
    steps = round(255 * eps)
    return f"{steps}/255" if 0 < steps <= 32 and math.isclose(255 * eps, steps) else f"{eps:.4g}"


def literal(text: str) -> str:
    """A name or setting that is not ours, for Markdown: no tag, code, link or line break comes of it."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("`", "\\`").replace("](", "]\\(")
    return " ".join(escaped.split())
