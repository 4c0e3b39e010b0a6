"""What `vqexp` does besides running experiments, one file a command: `vqexp list`, `compare`, `plot`."""

import importlib
from collections.abc import Sequence

COMMANDS = ("list", "compare", "plot")


def run_command(name: str, arguments: Sequence[str]) -> None:
    """Runs the command `name`, or prints its help; raises `ConfigError` for bad arguments."""
    # imported when it is called, since some commands need torch, which is slow to import
    module = importlib.import_module(f"vqexp.commands.{name}")
    if {"--help", "-h"} & set(arguments):
        print((module.__doc__ or "").strip())
    else:
        module.run(arguments)
