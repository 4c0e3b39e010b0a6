"""Why a claim did not hold, in one line: words of its config with the numbers of measured cells in them."""

from collections.abc import Mapping
from typing import Any

from vqexp.core.estimate import FRACTION, Estimate
from vqexp.reports.analysis.gaps import Values

MISSING = "(not measured)"


def reason(told: Mapping[str, Any] | None, values: Values) -> str:
    """Returns the text with each `{name}` replaced by the value of its cell; an empty text for no reason."""
    if not told:
        return ""
    numbers = {name: _number(values.get(tuple(cell))) for name, cell in told["cells"].items()}
    return str(told["text"]).strip().format(**numbers)


def _number(estimate: Estimate | None) -> str:
    if estimate is None or not estimate.known:
        return MISSING
    unit = "%" if estimate.unit == FRACTION else estimate.unit
    return f"{estimate.scale * estimate.mean:.4g} {unit}".rstrip()
