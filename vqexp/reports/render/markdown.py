"""The report as Markdown: `results/README.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vqexp.audits.calibration import Calibrated
from vqexp.core.config import CONF
from vqexp.core.text import interval, literal, percent, runs, shown, span
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.gather import Place, Section
from vqexp.reports.analysis.judge import WORDS
from vqexp.reports.analysis.options import options
from vqexp.reports.analysis.values import Grid, command_of_missing, grids, has_numbers, images
from vqexp.reports.render import calibration
from vqexp.reports.render.comparison import difference, outside, reported_text
from vqexp.reports.render.gaps import gaps_section
from vqexp.reports.render.kept import AUDIT_COLUMNS, AUDITS_TEXT, AuditPage
from vqexp.reports.render.lookup import Lookup
from vqexp.reports.render.material import Drawn, Entry, Judged, Material
from vqexp.reports.render.origin import low_precision, origin
from vqexp.reports.render.overview import markdown, overview
from vqexp.reports.render.protocols import protocols
from vqexp.reports.render.row import markdown_row
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.parts import sweep_command
from vqexp.reports.spec.table import Table

HEADINGS = (
    "row",
    "column",
    "reported",
    "measured",
    "95 % interval",
    "difference",
    "where f is right",
    "f alone",
    "runs",
    "n",
)
HEADER = """
Written by `make report` from [records](records.jsonl.gz); the command that fills a table stands above it.
`DIR` is a folder of data sets, `FILE` a checkpoint of the classifier f, named by its SHA-256, `WEIGHTS` a
folder of them. All figures in percent: a mean over the runs (standard deviation), a 95 % interval:
Wilson's over the n images, joined with Student's over the runs where these images share a draw.
*where f is right*: the same over the images that f classifies correctly without attack and defense, which
takes out most of f's own accuracy. *f alone*: f without the defense on the same images. A difference in bold
is outside the interval.
"""


CLAIMS_HEADER = """What the papers say of their tables and figures, checked on the measured values and,
where there are some, on the papers' own. *clear*: comparisons beyond the 95 % interval of the difference,
taken image by image (Agresti & Min 2005) where both cells are known on the same images, else beyond both
intervals. *undecided*: unclear comparisons decide it, and more images may turn it. *not judged*: a choice of
ours decides it. *n*: images. What is not measured stands at the end.
"""
OURS_HEADER = """No paper says this, but its numbers must satisfy it: who knows a defense may ignore it, two
defenses have two rows, and a theorem applies to something.
"""


def page(
    material: Material,
    pictures: Sequence[Path],
    audits: Mapping[str, AuditPage],
    calibrated: Sequence[Calibrated] = (),
) -> str:
    """Returns `README.md`. audits: by name. calibrated: audits of defenses whose robustness is known."""
    said = [claim for claim in material.claims if not claim.ours]
    ours = [claim for claim in material.claims if claim.ours]
    lines = overview(Lookup(material.entries), audits)
    parts = ["# Measured beside reported", "", *markdown(lines), HEADER]
    parts += [claims_section("Claims", CLAIMS_HEADER, said)]
    parts += [claims_section("Checks of ours", OURS_HEADER, ours)]
    parts += [gaps_section(material.waterfalls, material.pictures, lambda path: f"figures/{path.name}")]
    parts += [audits_section(audits)]
    parts += [protocols(material.tables, audits)]
    if calibrated:
        parts += ["\n## Calibration of the audit\n", *calibration.section(calibrated), ""]
    parts += [table_page(entry) for entry in material.tables]
    parts += [figure_section(drawn) for drawn in material.figures]
    parts += [picture_section(path) for path in pictures]
    return "\n".join(parts)


def audits_section(audits: Mapping[str, AuditPage]) -> str:
    """Returns the table of audits: verdict, worst case and a link to each page."""
    if not audits:
        return ""
    lines = ["\n## Audits: once the attacker knows the defense\n", f"{AUDITS_TEXT}\n"]
    lines += [
        markdown_row(("defense", *AUDIT_COLUMNS.values())),
        markdown_row(["---"] * (1 + len(AUDIT_COLUMNS))),
    ]
    for name, audit in audits.items():
        head = audit.head
        link = f"[{literal(head['defense'])}](audits/{name}.md)"
        lines.append(markdown_row((link, *(literal(head[key]) for key in AUDIT_COLUMNS))))
    return "\n".join([*lines, ""])


def claims_section(title: str, text: str, claims: Sequence[Judged]) -> str:
    """Returns the table of claims: what became of them, measured and by the papers' own numbers."""
    lines = [f"\n## {title}\n", text]
    lines += [markdown_row(("claim", "measured", "comparisons", "worst", "n", "by the paper's own numbers"))]
    lines += [markdown_row(["---"] * 6)]
    for claim in sorted(claims, key=lambda claim: WORDS.index(claim.measured.word)):
        found, own = claim.measured, claim.own
        n = span(found.n or ())
        text = f"{found.text} ({claim.source}, {found.place})"
        own_word = "" if own.held is None else own.told + ("" if own.held else f": {own.worst}")
        word = f"**{found.word}**" if found.word in ("did not hold", "undecided") else found.word
        beside = "; ".join((word, *found.beside))
        lines.append(markdown_row((text, beside, found.counts, found.worst, n, own_word)))
    return "\n".join([*lines, ""])


def figure_section(drawn: Drawn) -> str:
    """Returns a figure's section: command, picture and numbers."""
    figure = drawn.figure
    lines = [f"\n## {figure.title} ({figure.source})\n", *(f"{note}\n" for note in figure.notes)]
    lines.append(f"    VQEXP_DATA=DIR python run.py -m figure={figure.name} {figure_options(drawn)}\n")
    png = next((path for path in drawn.files if path.suffix == ".png"), None)
    lines.append(f"![{figure.title}](figures/{png.name})" if png else "Nothing measured yet.")
    if figure.table:
        records = drawn.entries[0].shown[0].records
        for grid in grids(figure.table):
            lines += _grid_lines(figure.table, grid, records, figure_options(drawn))
    for entry in drawn.entries:
        for section in entry.sections[:1]:
            lines += ["", f"f: {literal(section.title)}. {section_origin(section)}"]
    return "\n".join([*lines, ""])


def _grid_lines(table: Table, grid: Grid, records: Mapping[Place, Record], told: str) -> list[str]:
    """Returns a grid's numbers, if it has any, and the command for what is missing."""
    lines = []
    title = ", ".join(text for text in (grid.title, images(grid, records)) if text)
    if has_numbers(grid, records):
        lines += ["", markdown_row((title, *grid.columns)), markdown_row(["---"] * (1 + len(grid.columns)))]
        lines += [
            markdown_row((literal(label), *(_number(cell, records) for cell in cells)))
            for label, cells in grid.rows
        ]
    missing = command_of_missing(table, grid, records, told)
    return [
        *lines,
        *(["", f"Not measured{f', {grid.title}' if grid.title else ''}: `{missing}`"] if missing else []),
    ]


def _number(cell: Cell | None, records: Mapping[Place, Record]) -> str:
    """Returns `12.34 [10.1, 14.5], reported 12.50`, or what there is of it."""
    if cell is None:
        return ""
    record = records.get(cell.place)
    estimate = record.metrics[cell.metric] if record else None
    measured = f"{shown(estimate)} {interval(estimate)}" if estimate else ""
    reported = f"reported {reported_text(cell.reported)}" if cell.reported else ""
    return ", ".join(text for text in (measured, reported) if text)


def figure_options(drawn: Drawn) -> str:
    """Returns the overrides, beside the figure's own, that give its records."""
    found = [options(entry.table, section) for entry in drawn.entries for section in entry.sections[:1]]
    return found[0] if found else "scale=cpu"


def picture_section(path: Path) -> str:
    """Returns the section of a picture that `scripts/pictures.py` drew, with its command."""
    name = path.stem
    run = f"python scripts/pictures.py results/pictures/{path.name} dataset={name} attack=pgd dataset.n=100"
    return f"""
## Pictures, {name}

    VQEXP_DATA=DIR {run} classifier.checkpoint=FILE

Frame solid and blue: f is right about the image; dotted and orange: it is wrong. *difference*: of an image
from the clean one, grey where there is none, black and white at the attack's largest.

![clean, adversarial and quantized images of {name}](pictures/{path.name})
"""


def section_origin(section: Section) -> str:
    """Says where a section's numbers come from."""
    return origin(section.every) + low_precision(section.records)


def table_page(entry: Entry) -> str:
    """Returns a table's section, once for each classifier; missing cells of a row share a command."""
    table = entry.table
    lines = [f"\n## {table.title} ({table.source})\n", *(f"{note}\n" for note in table.notes)]
    for index, section in enumerate(entry.shown):
        told = options(table, section)
        lines.append(f"### f: {literal(section.title) or 'nothing measured yet'}\n")
        lines.append(f"    VQEXP_DATA=DIR python run.py -m table={table.name} {told}\n")
        lines += [markdown_row(HEADINGS), markdown_row(["---"] * len(HEADINGS))]
        cells = table.cells(quoted=index == 0)  # what other papers say once is enough
        shown = [cell for cell in cells if cell.quoted or cell.place in section.places]
        for row in table.rows:
            own = [cell for cell in shown if cell.row == row["label"]]
            missing = [cell for cell in own if not cell.quoted and cell.place not in section.records]
            lines += [markdown_row(_cell_texts(section, cell)) for cell in own if cell not in missing]
            if missing:
                command = sweep_command("table", table, missing, told)
                lines.append(markdown_row(_missing_texts(missing, command)))
        lines += ["", *([f"{section_origin(section)}\n"] if section.records else [])]
    return "\n".join(lines)


def _missing_texts(cells: Sequence[Cell], command: str) -> list[str]:
    """Returns one line for a row's cells that were not measured, with the command that measures them."""
    values = [reported_text(cell.reported) or "-" for cell in cells]
    reported = ", ".join(values) if any(cell.reported for cell in cells) else ""
    columns = ", ".join(literal(cell.column) for cell in cells)
    return [literal(cells[0].row), columns, reported, "", f"`{command}`", *[""] * 5]


def _cell_texts(section: Section, cell: Cell) -> list[str]:
    """Returns a line of the table, an entry for each of `HEADINGS`, for what is measured or quoted."""
    reported, row, column = reported_text(cell.reported), literal(cell.row), literal(cell.column)
    if cell.quoted:
        known = cell.training and (CONF / "training" / f"{cell.training}.yaml").exists()
        later = f"`training={cell.training}` would measure it" if known else ""
        return [row, column, reported, cell.quoted, later, *[""] * 5]
    metrics = section.records[cell.place].metrics
    estimate, own = metrics[cell.metric], metrics.get(f"{cell.metric}_on_correct")
    robust = cell.metric.startswith("robust")
    alone = metrics.get("undefended_accuracy" if robust else "undefended_natural_accuracy")
    gap = difference(cell, estimate)
    return [
        row,
        column,
        reported,
        shown(estimate),
        interval(estimate),
        f"**{gap}**" if outside(cell, estimate) else gap,
        percent(own) if own else "",
        percent(alone) if alone else "",
        runs(estimate),
        str(estimate.n),
    ]
