"""Trying settings on the command line, in this process and without the work: what is refused, and how."""

import contextlib
import io
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from vqexp import cli
from vqexp.pipeline.build import prepare


class ReachedWork(BaseException):
    """All settings were found good, and work would begin."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, or None if work would begin; what it said; any traceback."""

    status: int | None
    out: str
    err: str
    traceback: str = ""

    @property
    def fault(self) -> str:
        """What is wrong with how the command was refused; empty if it was refused in one line, or is good."""
        if self.traceback:
            return self.traceback.splitlines()[-1]
        if self.status in (None, 0):
            return ""
        lines = self.err.splitlines()
        if self.status != 2 or len(lines) != 1 or not lines[0].startswith("vqexp: "):
            return f"exit status {self.status}: {self.err!r}"
        return ""


def _stop_before_work(config, *arguments, **settings):
    prepare(config, check_store=False)
    raise ReachedWork


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    with contextlib.chdir(folder), patch.dict("os.environ", {"VQEXP_HOME": str(folder / "store")}):
        yield


def tried(arguments: Sequence[str], folder: Path) -> Outcome:
    """Runs the command line with `arguments` in `folder`, up to where work would begin."""
    out, err = io.StringIO(), io.StringIO()
    status: int | None = 0
    found = ""
    with (
        _in(folder),
        patch.object(sys, "argv", ["run.py", *arguments]),
        patch("vqexp.reports.sweep.one.run", _stop_before_work),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        except ReachedWork:
            status = None
        except BaseException:
            found = traceback.format_exc()
    return Outcome(status, out.getvalue(), err.getvalue(), found)
