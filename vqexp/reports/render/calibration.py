"""What audits said of defenses whose robustness is known: a confusion matrix, and a line for each."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vqexp.audits.calibration import EXPECTED, Calibrated
from vqexp.audits.verdict import RULES
from vqexp.core.atomic import write_atomically
from vqexp.reports.render.row import markdown_row

FOLDER = "calibration"  # of a store
FILE = "calibration.json"  # of a report
HEADINGS = (
    *("defense", "known to be", "verdict", "no attack", "worst case", "95 %", "AutoAttack", "other attacks"),
    *("attack checks held", "n", "wrong"),
)
TEXT = (
    "Defenses whose robustness is known, audited like any other. A broken one must be called BROKEN and fall "
    "below 5 %; a sound one must be called NO BREAK FOUND without any sign of gradient masking, and the "
    "attacks of the audit other than AutoAttack must lie within 1 point of AutoAttack on the same images."
)
WHERE = "`VQEXP_DATA` is the folder of data sets, `VQEXP_CHECKPOINTS` that of the sound networks' weights:"


def calibration_page(judged: Sequence[Calibrated]) -> str:
    """Returns the page in Markdown."""
    return "\n".join(["# Calibration of the audit", "", *section(judged), ""])


def section(judged: Sequence[Calibrated]) -> list[str]:
    """Returns how many audits are right, the commands, the confusion matrix and a line for each audit."""
    right = sum(not each.faults for each in judged)
    lines = [f"**{right} of {len(judged)} audits say what is known.**", "", TEXT, "", WHERE, ""]
    commands = dict.fromkeys(each.command for each in judged)
    return [*lines, *(f"    {command}" for command in commands), "", *matrix(judged), "", *table(judged)]


def matrix(judged: Sequence[Calibrated]) -> list[str]:
    """Returns the confusion matrix: how many audits of each truth came to each verdict."""
    counts = Counter((each.truth, _word(each.verdict)) for each in judged)
    words = [word for word in RULES if any(count[1] == word for count in counts) or word in EXPECTED.values()]
    lines = [markdown_row(["known to be", *words]), markdown_row(["---"] * (1 + len(words)))]
    return lines + [
        markdown_row([truth, *(str(counts[truth, word]) for word in words)]) for truth in EXPECTED
    ]


def table(judged: Sequence[Calibrated]) -> list[str]:
    """Returns a line for each audit, accuracies in percent; what it got wrong is in bold."""
    lines = [markdown_row(HEADINGS), markdown_row(["---"] * len(HEADINGS))]
    for each in judged:
        low, high = each.interval
        entries = [
            each.label,
            each.truth,
            each.verdict,
            _percent(each.natural),
            _percent(each.worst),
            f"[{100 * low:.1f}, {100 * high:.1f}]",
            _percent(each.autoattack),
            _percent(each.others),
            each.checks,
            str(each.n),
            f"**{'; '.join(each.faults)}**" if each.faults else "",
        ]
        lines.append(markdown_row(entries))
    return lines


def keep(judged: Iterable[Calibrated], root: Path) -> None:
    """Keeps each in the store `root`, unless what is there is of more images; no smoke runs."""
    for each in judged:
        path = root / FOLDER / f"{re.sub('[^a-z0-9]+', '-', each.label.lower())}.json"
        known = _read(path.read_text()) if path.exists() else []
        if not each.smoke and all(before.n <= each.n for before in known):
            write_atomically(path, to_json([each]).encode())


def kept(root: Path, folder: Path) -> list[Calibrated]:
    """Returns what the store `root` and an earlier report in `folder` have; of two that of more images."""
    paths = [path for path in (folder / FILE, *sorted((root / FOLDER).glob("*.json"))) if path.exists()]
    found: dict[str, Calibrated] = {}
    for each in (judged for path in paths for judged in _read(path.read_text())):
        if each.label not in found or found[each.label].n <= each.n:
            found[each.label] = each
    return sorted(found.values(), key=lambda each: (each.truth, each.label))


def to_json(judged: Sequence[Calibrated]) -> str:
    """Returns the text that `kept` reads."""
    return json.dumps([each.plain() for each in judged], indent=1) + "\n"


def _read(text: str) -> list[Calibrated]:
    found: list[Mapping[str, Any]] = json.loads(text)
    return [
        Calibrated(**{**each, "interval": tuple(each["interval"]), "faults": tuple(each["faults"])})
        for each in found
    ]


def _word(verdict: str) -> str:
    """The verdict without what it counts."""
    return next(word for word in RULES if verdict.startswith(word))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
