"""What the user should know and need not act on, on stderr."""

import sys
from functools import cache


@cache
def note(line: str) -> None:
    """Say it, once a process."""
    print(f"note: {line}", file=sys.stderr)
