"""Progress of long stages: a line that fits the terminal, or a log line now and then where there is none."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

Item = TypeVar("Item")
Result = TypeVar("Result")

FIRST, EVERY = 10.0, 60.0  # seconds until a stage's first log line, and between two of them
WIDEST = 24  # of the drawn bar, in columns
LEAST_TITLE = 12

_running: list["Bar"] = []  # the stages that are under way, the innermost last


class Bar:
    """One stage. `advance(10, accuracy=0.5)` moves it and shows `accuracy 50.0 %`.

    What one piece of it takes may be told in finer steps: `during` says how many steps a piece is worth, and
    loops by `stepwise` which share of it is done.
    """

    def __init__(self, title: str, total: int, log: bool = False) -> None:
        self.title, self.total, self._log = title, total, log
        self.done = self._before = self.piece = 0
        self._calls, self._reached = 0, 0.0  # in the present piece
        self._loops: list[list[int]] = []  # [items done, items], outermost first
        self._figures = self._said = ""
        self._start = self._told = time.monotonic()

    def advance(self, steps: int = 1, **figures: float) -> None:
        """Move by `steps`; a figure named `*accuracy` is a fraction and is shown as a percentage."""
        self.done, self.piece = self.done + steps, 0
        if figures:
            self._figures = "  ".join(_shown(name, value) for name, value in figures.items())
        self._moved()

    def skip(self, steps: int, **figures: float) -> None:
        """Move by `steps` that were done before, and say nothing of the speed."""
        self._before += steps
        self.advance(steps, **figures)

    def during(self, piece: int, work: Callable[[], Result]) -> Result:
        """What `work` returns; meanwhile a piece worth so many steps is under way."""
        self.piece, self._calls, self._reached = piece, 0, 0.0
        return work()

    def line(self, width: int | None = None) -> str:
        """Title, a drawn bar, steps, time and figures, in at most `width` columns; None: all but the bar."""
        done, elapsed = self.done + self.piece * self._reached, time.monotonic() - self._start
        parts = [f"{int(done):,}/{self.total:,}", _clock(elapsed), self._left(done, elapsed)]
        parts += [self._figures, f"{self._calls:,} calls" if self._calls and not self._reached else ""]
        rest = "  ".join(part for part in parts if part)
        if width is None:
            return f"{self.title}  {rest}"
        title = _cut(self.title, max(width - len(rest) - 2, LEAST_TITLE))
        columns = min(width - len(title) - len(rest) - 4, WIDEST)
        drawn = round(columns * min(done / max(self.total, 1), 1)) if columns > 3 else 0
        bar = f"{'━' * drawn}{'╌' * (columns - drawn)}  " if columns > 3 else ""
        return _cut(f"{title}  {bar}{rest}", width)

    def end(self) -> None:
        """The last log line, of a stage that took long."""
        if self._log and time.monotonic() - self._start >= FIRST:
            self._say()

    def _step(self) -> None:
        """A step of a loop is done: move to the share of the present piece that all of them say."""
        share, unit = 0.0, 1.0
        for at, count in self._loops:
            unit /= count
            share += at * unit
        self._reached = max(self._reached, share)
        self._moved()

    def _left(self, done: float, elapsed: float) -> str:
        worked = done - self._before
        if worked <= 0 or done >= self.total:
            return ""
        return f"{_clock(elapsed * (self.total - done) / worked)} left"

    def _moved(self) -> None:
        now = time.monotonic()
        if self._log and now - self._told >= (FIRST if self._told == self._start else EVERY):
            self._told = now
            self._say()

    def _say(self) -> None:
        if (line := self.line()) != self._said:
            print(line, file=sys.stderr, flush=True)
            self._said = line


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Bar]:
    """A bar on stderr for `total` steps, gone when done; without a terminal, log lines of a long stage."""
    console = Console(stderr=True)
    bar = Bar(title, total, log=not console.is_terminal)
    _running.append(bar)
    try:
        if console.is_terminal and len(_running) == 1:  # a stage within a stage is shown below it
            with Live(get_renderable=lambda: _lines(console.width), console=console, transient=True):
                yield bar
        else:
            yield bar
        bar.end()
    finally:
        _running.remove(bar)


def stepwise(items: Sequence[Item]) -> Iterator[Item]:
    """The items, one after the other, each an equal share of the piece that the innermost stage works on.

    In such a loop within another, each is a share of the outer loop's present item.
    """
    if not _running:
        yield from items
        return
    bar, loop = _running[-1], [0, len(items)]
    bar._loops.append(loop)
    try:
        for item in items:
            yield item
            loop[0] += 1
            bar._step()
    finally:
        bar._loops.remove(loop)


def asked() -> None:
    """Count a call of what an attack sees: all that is known of the steps of another library."""
    if _running:
        _running[-1]._calls += 1
        _running[-1]._moved()


def _lines(width: int) -> Text:
    return Text("\n".join(bar.line(width) for bar in _running))


def _shown(name: str, value: float) -> str:
    name = name.removeprefix("train_")
    if name.endswith("accuracy"):
        return f"{name} {100 * value:.1f} %"
    return f"{name} {value:,.0f}" if value >= 100 else f"{name} {value:.3g}"


def _clock(seconds: float) -> str:
    """`1:05`, `2:00:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
