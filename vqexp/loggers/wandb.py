"""Runs in Weights & Biases, online or in files for `wandb sync`."""

import os
from pathlib import Path
from typing import Any

from vqexp.core.errors import WorkError, one_line, one_of
from vqexp.core.notes import note

MODES = ("auto", "online", "offline", "disabled")


class WandB:
    """Each run becomes one of `project` (and `entity`: a user or team), a sweep's runs with their group.

    `mode` is `online`, `offline` (files only, no network), `disabled`, or `auto`: what `WANDB_MODE` says,
    else online if `WANDB_API_KEY` is set, else offline. Raises `ConfigError` for another mode; `start` raises
    `WorkError` if the run cannot be started, for example without network.
    """

    def __init__(self, project: str = "vqexp", entity: str | None = None, mode: str = "auto") -> None:
        one_of("logger.mode", mode, MODES)
        self._project = project
        self._entity = entity
        self._mode = mode
        self._run: Any = None

    def start(self, config: dict[str, Any], group: str | None, name: str, dir: str) -> None:
        import wandb  # slow, and not needed for other loggers

        mode = self._mode
        if mode == "auto":
            mode = os.environ.get("WANDB_MODE") or (
                "online" if os.environ.get("WANDB_API_KEY") else "offline"
            )
        try:
            os.makedirs(dir, exist_ok=True)
            self._run = wandb.init(
                project=self._project,
                entity=self._entity,
                mode=mode,  # type: ignore[arg-type]
                config=config,
                group=group,
                name=name,
                dir=dir,
                settings=wandb.Settings(silent=True, console="off"),
            )
        except (wandb.Error, OSError, ValueError) as error:
            raise WorkError(
                f"logger=wandb cannot start ({one_line(error)}); use logger.mode=offline or logger=none"
            ) from error
        if mode == "offline":
            folder = Path(self._run.dir).parent
            note(f"wandb is offline; the run's files are in {folder}: `wandb sync {folder}` sends them")

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._run is not None:
            self._run.log(metrics, step=step)

    def finish(self, summary: dict[str, Any]) -> None:
        if self._run is not None:
            self._run.summary.update(summary)
            self._run.finish()
            self._run = None
