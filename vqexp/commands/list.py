"""vqexp list [GROUP ...]

Prints every choice of each group, or of the groups named, with one line about it:

    vqexp list
    vqexp list defense attack
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqexp.commands.arguments import words_and_settings
from vqexp.core.config import CONF
from vqexp.core.errors import one_of
from vqexp.help import groups
from vqexp.reports.spec.choices import read_settings

# in the order of the flow, from the images to the report
ORDER = ("dataset", "classifier", "training", "defense", "adversary", "attack", "metric", "table", "figure")
SENTENCE = re.compile(r".*?[.:](?=\s+[A-Z`(]|$)")  # not the dot of "et al. 2019"


def run(arguments: Sequence[str]) -> None:
    """Prints the choices; raises `ConfigError` for a group that does not exist."""
    names, _ = words_and_settings("list", arguments, ())
    found = groups()
    ordered = [*ORDER, *sorted(set(found) - set(ORDER))]
    for name in names:
        one_of("the group", name, ordered)
    for group in names or ordered:
        width = max(map(len, found[group]))
        lines = [
            f"  {choice:{width}}  {about(CONF / group / f'{choice}.yaml')}" for choice in sorted(found[group])
        ]
        print(group, *lines, "", sep="\n")


def about(path: Path) -> str:
    """Returns one line about a file: a table's title and source, else its comment's first sentence."""
    if path.relative_to(CONF).parts[0] in ("table", "figure"):
        settings: dict[str, Any] = read_settings(path)
        return f"{settings['title']} ({settings['source']})".removesuffix(" ()")
    comment = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.strip("# "))
    text = " ".join(comment)
    found = SENTENCE.match(text)
    return (found[0] if found else text).rstrip(".:")
