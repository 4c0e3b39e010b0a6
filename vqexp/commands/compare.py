"""vqexp compare RECORD RECORD [store=STORE]

Prints how the second record differs from the first: in its settings, and in every metric that both have. A
RECORD is a file, or the first letters of the key of a record in STORE, which is a store or a file such as
results/records.jsonl.gz:

    vqexp compare results/store/records/3f2a.json results/store/records/90c1.json
    vqexp compare 3f2a 90c1 store=results/records.jsonl.gz

Where both know how often each image was right, on the same images, the difference is taken image by image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vqexp.commands.arguments import words_and_settings
from vqexp.core.errors import require
from vqexp.core.places import place
from vqexp.core.store import Store, default_root
from vqexp.core.text import value
from vqexp.pipeline.flat import flat_settings
from vqexp.pipeline.outcomes import with_outcomes
from vqexp.pipeline.reading import read, read_all
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.points import Point, point_of

SUFFIX = ".json"


def run(arguments: Sequence[str]) -> None:
    """Prints the comparison; raises `ConfigError` if a record is not found or they share no metric."""
    words, settings = words_and_settings("compare", arguments, ("store",))
    require(len(words) == 2, f"vqexp compare takes two records, not {len(words)}; --help shows how")
    store = place(settings.get("store", default_root()))
    first, second = (find(word, store) for word in words)
    shared = [name for name in first.metrics if name in second.metrics]
    require(shared, f"these records have no metric in common: {words[0]}, {words[1]}")
    console = Console(highlight=False, markup=False, width=max(Console().width, 110))
    console.print(_settings(first, second), _metrics(first, second, shared), sep="\n")


def find(word: str, store: Path) -> Record:
    """Returns the record in the file `word`, or the one in `store` whose key begins with it.

    It carries its per-image outcomes if its store still has them.
    """
    path = place(word)
    if path.suffix == SUFFIX or path.is_file():
        return with_outcomes(read(path), Store(path.absolute().parents[1]))
    found = [record for record in read_all(store) if record.key.startswith(word)]
    require(
        found, f"no record in {store} has a key that begins with {word}; add store=STORE if it is elsewhere"
    )
    keys = ", ".join(record.key for record in found[:3])
    require(
        len(found) == 1, f"{len(found)} records in {store} have a key that begins with {word}: {keys}, ..."
    )
    return with_outcomes(found[0], Store(store)) if store.is_dir() else found[0]


def difference(a: Point, b: Point) -> tuple[float, tuple[float, float], int]:
    """Returns (b - a, its 95 % interval, the number of images that both saw; 0 if it is not paired)."""
    paired = b.outcomes.less(a.outcomes) if a.outcomes and b.outcomes else None
    if paired is None:
        return b.value - a.value, b.minus(a), 0
    return 100 * float(paired.shares.mean()), b.minus(a), len(paired.shares)


def _settings(first: Record, second: Record) -> Table:
    table = Table("setting", "first", "second", title="Settings that differ", title_justify="left")
    ours, theirs = flat_settings(first), flat_settings(second)
    for name in dict.fromkeys([*ours, *theirs]):
        left, right = (_text(each.get(name, "-")) for each in (ours, theirs))
        if left != right:
            table.add_row(name, left, right)
    return table


def _metrics(first: Record, second: Record, names: Sequence[str]) -> Table:
    headings = ("metric", "first", "second", "difference", "95 % interval", "pairs")
    caption = "difference: second - first. pairs: images compared one by one; without, as independent samples"
    table = Table(*headings, title="Metrics", caption=caption, title_justify="left", caption_justify="left")
    for name in names:
        a, b = point_of(first, name), point_of(second, name)
        if a is None or b is None:
            continue
        apart, (low, high), n = difference(a, b)
        shown = (value(first.metrics[name]), value(second.metrics[name]))
        title = first.metrics[name].title or name
        table.add_row(title, *shown, f"{apart:+.2f}", f"[{low:.2f}, {high:.2f}]", str(n or "-"))
    return table


def _text(setting: Any) -> str:
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
