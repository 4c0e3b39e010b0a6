"""The default: the record is enough."""

from typing import Any


class NoLogger:
    """A logger that does nothing."""

    def start(self, config: dict[str, Any], group: str | None, name: str, dir: str) -> None:
        pass

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        pass

    def finish(self, summary: dict[str, Any]) -> None:
        pass
