"""A line of a table in Markdown."""

from collections.abc import Sequence


def markdown_row(entries: Sequence[str]) -> str:
    """Returns `| a | b |`; a bar within an entry stays a part of it."""
    return "| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |"
