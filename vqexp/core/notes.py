"""What the user should know and need not act on, on stderr."""

import sys
from functools import cache

from vqexp.core.secrets import without_secrets


@cache
def note(line: str) -> None:
    """Say it, once a process."""
    print(f"note: {without_secrets(line)}", file=sys.stderr)
