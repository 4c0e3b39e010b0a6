"""The command line in this process."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from vqexp import cli


def called(*argv):
    """Run the command `argv`, its name first: (exit status, stdout, stderr)."""
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        patch.setattr(sys, "argv", list(argv))
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    return status, out.getvalue(), err.getvalue()
