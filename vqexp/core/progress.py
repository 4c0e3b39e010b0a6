"""Progress bars with ETA and running figures for long stages; silent when not on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn


class Bar:
    """One stage's bar. `advance(10, accuracy=0.5)` moves it and shows `accuracy 50.0 %`."""

    def __init__(self, progress: Progress | None, task: int = 0) -> None:
        self._progress = progress
        self._task = task

    def advance(self, steps: int = 1, **figures: float) -> None:
        """Move by `steps`; a figure named `*accuracy` is a fraction and is shown as a percentage."""
        if self._progress is None:
            return
        shown = "  ".join(
            f"{name} {100 * value:.1f} %" if name.endswith("accuracy") else f"{name} {value:.4g}"
            for name, value in figures.items()
        )
        self._progress.update(self._task, advance=steps, figures=shown)  # type: ignore[arg-type]


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Bar]:
    """A bar on stderr for `total` steps, gone when done; nothing at all where stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        EtaColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(description, total=total, figures=""))
