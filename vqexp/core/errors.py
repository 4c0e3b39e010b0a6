"""The ways a run can fail, each told to the user in one line."""

import math
from typing import Any

MOST = {True: 10**9, False: 10**6}  # integers, other numbers


class ConfigError(ValueError):
    """Bad input, found before work starts (exit status 2). The message says what is allowed."""


class SenselessError(ConfigError):
    """A combination of good settings that makes no sense. The message says why; an audit leaves it out."""


class MissingError(ConfigError):
    """What the run needs is not on this machine: data, weights, an extra. Tables leave such cells out."""


class WorkError(RuntimeError):
    """A fault during work, such as a full disk or a broken artifact (exit status 1)."""


class Unfinished(Exception):  # noqa: N818  # nothing is wrong
    """A shard has done its share, and others have not: there is no record yet (exit status 0)."""


def require(condition: Any, message: str) -> None:
    """Raise `ConfigError(message)` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def one_of(name: str, value: Any, allowed: Any) -> None:
    """Raise `ConfigError`, listing what exists, unless `value` is among `allowed`."""
    require(value in tuple(allowed), f"{name} is {value!r}; it must be one of {', '.join(map(str, allowed))}")


def check_number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    integer: bool = False,
) -> None:
    """Raise `ConfigError`, naming the range, unless low <= value <= high and above < value < below.

    Without an upper bound of its own a setting is at most `MOST`: what is larger is a slip.
    """
    kind = "an integer" if integer else "a number"
    if high is None and below is None and _exceeds(value, MOST[integer]):
        high = MOST[integer]
    allowed = [f">= {low}"] if low is not None else []
    allowed += [f"> {above}"] if above is not None else []
    allowed += [f"<= {high}"] if high is not None else []
    allowed += [f"< {below}"] if below is not None else []
    fits = isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
    fits = fits and math.isfinite(value) and (low is None or value >= low)
    fits = fits and (high is None or value <= high) and (above is None or value > above)
    fits = fits and (below is None or value < below)
    require(fits, f"{name} is {value!r}; it must be {kind} {' and '.join(allowed)}".rstrip())


def _exceeds(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and value > most


def one_line(error: BaseException) -> str:
    """The message of `error` on a single line."""
    return " ".join(str(error).split()) or type(error).__name__
