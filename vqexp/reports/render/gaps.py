"""The section "Why the numbers differ" in Markdown: a table and a paragraph for each waterfall."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from vqexp.reports.analysis.gaps import Step, Waterfall, spec
from vqexp.reports.render.row import markdown_row
from vqexp.reports.spec.parts import sweep_command

MISSING = "not measured"


def gaps_section(
    waterfalls: Sequence[Waterfall], pictures: Mapping[str, Path], link: Callable[[Path], str]
) -> str:
    """Returns the section. pictures: by the waterfall's name. link: the address of a picture on this page."""
    lines = [f"\n## {spec()['title']}\n", f"{spec()['text'].strip()}\n"]
    lines += [f"- *{label}*: {text}" for label, text in spec()["steps"].items()]
    for each in waterfalls:
        lines += ["", f"### {each.title}\n", f"{paragraph(each)}\n"]
        if each.name in pictures:
            lines.append(f"![{each.title}]({link(pictures[each.name])})\n")
        lines += _table(each)
    return "\n".join([*lines, ""])


def paragraph(waterfall: Waterfall) -> str:
    """Says in words what the steps account for, on average over the defenses."""
    defenses = ", ".join(waterfall.reported)
    gaps = [waterfall.gap(defense) for defense in waterfall.reported]
    known = [gap for gap in gaps if gap is not None]
    if len(known) < len(gaps):
        return f"Not all of {defenses} are measured."
    whole, changes = mean(known), dict(waterfall.average())
    left = changes.pop("unexplained")
    assert left is not None  # as all values are measured
    told = [f"*{label}* {change:+.1f}" for label, change in changes.items() if change is not None]
    missing = [f"*{label}*" for label, change in changes.items() if change is None]
    text = f"On average over {defenses} the measured value differs from the report by {whole:+.1f} points. "
    text += f"What is explained: {', '.join(told)}. " if told else ""
    text += f"Not measured for all: {', '.join(missing)}. " if missing else ""
    spread = [draws for draws in waterfall.draws.values() if draws is not None]
    text += f"The draws move a mean by {max(spread):.1f} points at most. " if spread else ""
    return f"{text}**Unexplained: {left:+.1f} points.**"


def _table(waterfall: Waterfall) -> list[str]:
    """A line for each step from the report down to the measured value, and a column for each defense."""
    defenses = list(waterfall.reported)
    steps = {step.label: step for step in waterfall.steps}
    changes = {defense: dict(waterfall.changes(defense)) for defense in defenses}
    heads = ["", *defenses, "command"]
    lines = [heads, ["---"] * len(heads)]
    lines.append(["reported", *(f"{waterfall.reported[each]:.2f}" for each in defenses), ""])
    for label in changes[defenses[0]]:
        told = [_change(changes[each][label]) for each in defenses]
        lines.append([label, *told, f"`{command(waterfall, steps[label])}`" if label in steps else ""])
    told = [_spread(waterfall.draws[each]) for each in defenses]
    lines.append(["draws", *told, ""])
    bottom = waterfall.steps[0]
    told = [_value(bottom.values[each]) for each in defenses]
    lines.append([f"**{bottom.label}**", *told, f"`{command(waterfall, bottom)}`"])
    return list(map(markdown_row, lines))


def command(waterfall: Waterfall, step: Step) -> str:
    """Returns the command that measures a step for all defenses."""
    return sweep_command("table", waterfall.table, step.cells, "scale=gpu")


def _change(change: float | None) -> str:
    return MISSING if change is None else f"{change:+.2f}"


def _spread(draws: float | None) -> str:
    return "" if draws is None else f"± {draws:.2f}"


def _value(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"
