"""What a logger is."""

from typing import Any, Protocol


class Logger(Protocol):
    """Told of one run: `start`, then any number of `log`, then `finish`.

    `log` and `finish` do nothing before `start`. A logger never changes a result.
    """

    def start(self, config: dict[str, Any], group: str | None, name: str, dir: str) -> None:
        """Begin the run `name` of resolved `config`; a sweep's runs share a `group`; files go to `dir`."""

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Figures of one moment, such as an epoch (`step`, from 1)."""

    def finish(self, summary: dict[str, Any]) -> None:
        """The run's final figures."""
