"""The report as one self-contained page, `results/index.html`, from `templates/index.html`."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

from vqexp.audits.calibration import Calibrated
from vqexp.core.estimate import Estimate
from vqexp.core.plot import DPI
from vqexp.core.text import interval, shown, span
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.gather import Place, Section
from vqexp.reports.analysis.judge import WORDS
from vqexp.reports.analysis.names import column_title, paper_of
from vqexp.reports.analysis.options import options
from vqexp.reports.analysis.values import Grid, command_of_missing, grids, has_numbers, images
from vqexp.reports.render import calibration
from vqexp.reports.render.colors import color_of
from vqexp.reports.render.comparison import difference, outside, reported_text
from vqexp.reports.render.gaps import gaps_section
from vqexp.reports.render.kept import AUDIT_COLUMNS, AUDITS_TEXT, AuditPage
from vqexp.reports.render.lookup import Lookup
from vqexp.reports.render.markdown import figure_options, section_origin
from vqexp.reports.render.material import Drawn, Entry, Judged, Material
from vqexp.reports.render.overview import overview, spec, summary
from vqexp.reports.render.protocols import protocols
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.parts import sweep_command
from vqexp.reports.spec.table import Table

BEYOND = "Beyond the papers"
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def page(
    material: Material,
    audits: Mapping[str, AuditPage],
    folder: Path,
    calibrated: Sequence[Calibrated] = (),
) -> str:
    """Returns `index.html`. audits: by name. folder: where their pictures are. calibrated: audits of defenses
    whose robustness is known.
    """
    environment = Environment(
        loader=PackageLoader("vqexp.reports.render"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["capitalized"] = _capitalized
    environment.filters["inline"] = lambda text: Markup(MARKDOWN.renderInline(text))
    environment.filters["color"] = color_of
    lines = overview(Lookup(material.entries), audits)
    found = [entry.sections[0].records for entry in material.entries if entry.sections]
    return environment.get_template("index.html").render(
        title=spec()["title"],
        summary=summary(lines),
        text=spec()["text"],
        lines=lines,
        audit_columns=AUDIT_COLUMNS,
        audits_text=AUDITS_TEXT,
        audits=[_audit(name, audit, folder) for name, audit in audits.items()],
        gaps=Markup(MARKDOWN.render(gaps_section(material.waterfalls, material.pictures, _embedded))),
        protocols=Markup(MARKDOWN.render(protocols(material.tables, audits))),
        calibration=MARKDOWN.render("\n".join(calibration.section(calibrated))) if calibrated else "",
        cells=(sum(map(len, found)), sum(len(entry.table.cells()) for entry in material.entries)),
        papers=_papers(material),
        ours=_counted([claim for claim in material.claims if claim.ours]),
    )


def _capitalized(text: str) -> str:
    """Returns the text with a capital at its start, unless it starts with a name such as pRD."""
    name = any(letter.isupper() for letter in text.split(" ")[0])
    return text if name else text[:1].upper() + text[1:]


def _papers(material: Material) -> list[dict[str, Any]]:
    """Returns, for each paper, its claims, tables and figures; last, what is in no paper."""
    known: Mapping[str, str] = spec()["papers"]
    heads = [*known, BEYOND]

    def whose(source: str) -> str:
        return paper if (paper := paper_of(source)) in known else BEYOND

    return [
        {
            "name": f"paper-{number}",
            "title": known.get(head, BEYOND),
            "claims": _counted([c for c in material.claims if not c.ours and whose(c.source) == head]),
            "tables": [_table(entry) for entry in material.tables if whose(entry.table.source) == head],
            "figures": [_figure(drawn) for drawn in material.figures if whose(drawn.figure.source) == head],
        }
        for number, head in enumerate(heads, 1)
    ]


def _counted(claims: Sequence[Judged]) -> dict[str, Any]:
    """Returns the claims in the order of `WORDS`, and how many of each word there are."""
    found = sorted(claims, key=lambda claim: WORDS.index(claim.measured.word))
    counts = Counter(claim.measured.word for claim in found)
    return {"list": found, "counts": ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])}


def _audit(name: str, audit: AuditPage, folder: Path) -> dict[str, Any]:
    body = MARKDOWN.render(audit.text.split("\n", 1)[1])
    picture = folder / f"{name}.png"
    if picture.exists():
        size = f'style="--inches:{_inches(picture):.2f}"'
        body = body.replace(f'src="{picture.name}"', f'{size} src="{_embedded(picture)}"')
    return {"name": name, "page": body, **audit.head}


def _table(entry: Entry) -> dict[str, Any]:
    table = entry.table
    return {
        **{name: getattr(table, name) for name in ("name", "title", "source", "notes")},
        "short": table.source if any(cell.reported for cell in table.cells()) else table.name,
        "sections": [_section(entry, section, index == 0) for index, section in enumerate(entry.shown)],
    }


def _section(entry: Entry, section: Section, first: bool) -> dict[str, Any]:
    """Returns rows by columns. Quoted rows are in the first section only."""
    table = entry.table
    cells = {
        cell.place: cell for cell in table.cells(quoted=first) if cell.quoted or cell.place in section.places
    }
    columns = [name for name in table.columns if any(column == name for _, column in cells)]
    labels = [row["label"] for row in table.rows if any(label == row["label"] for label, _ in cells)]
    told = options(table, section)
    return {
        "title": section.title,
        "columns": list(map(column_title, columns)),
        "rows": [
            {
                "label": label,
                "cells": [_cell(table, section, cells.get((label, name)), told) for name in columns],
            }
            for label in labels
        ],
        "options": told,
        "measured": bool(section.records),
        "images": _images(section, cells),
        "provenance": section_origin(section) if section.records else "",
    }


def _images(section: Section, cells: Mapping[Place, Cell]) -> str:
    """Returns `n 500 to 4000, runs 3` for the section's measured cells."""
    found = [
        record.metrics[cells[place].metric] for place, record in section.records.items() if place in cells
    ]
    counts = {name: span(getattr(estimate, name) for estimate in found) for name in ("n", "runs")}
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def _cell(table: Table, section: Section, cell: Cell | None, told: str) -> dict[str, str]:
    """Returns one place of the grid. told: the options of the section."""
    if cell is None:
        return {"kind": "empty"}
    reported = reported_text(cell.reported)
    if cell.quoted:
        return {"kind": "quoted", "reported": reported, "instead": cell.quoted}
    record = section.records.get(cell.place)
    if record is None:
        command = sweep_command("table", table, [cell], told)
        return {"kind": "missing", "reported": reported, "command": command}
    return _measured(cell, record.metrics[cell.metric])


def _measured(cell: Cell, estimate: Estimate) -> dict[str, str]:
    apart = outside(cell, estimate)
    gap = difference(cell, estimate)
    return {
        "kind": "measured",
        "reported": reported_text(cell.reported),
        "measured": shown(estimate),
        "interval": interval(estimate),
        "gap": gap if apart else f"≈ {gap}",
        "mark": "outside" if apart else "inside",
    }


def _figure(drawn: Drawn) -> dict[str, Any]:
    figure = drawn.figure
    png = next((path for path in drawn.files if path.suffix == ".png"), None)
    told = figure_options(drawn)
    records = drawn.entries[0].shown[0].records if figure.table else {}
    return {
        **{name: getattr(figure, name) for name in ("name", "title", "source", "notes", "kind")},
        "short": figure.source,
        "options": told,
        "image": _embedded(png) if png else "",
        "inches": _inches(png) if png else 0,
        "grids": [_grid(figure.table, grid, records, told) for grid in grids(figure.table)]
        if figure.table
        else [],
        "provenance": [
            f"f: {section.title}. {section_origin(section)}"
            for entry in drawn.entries
            for section in entry.sections[:1]
        ],
    }


def _grid(table: Table, grid: Grid, records: Mapping[Place, Record], told: str) -> dict[str, Any]:
    """Returns a panel's numbers, if it has any, and the command for what is missing."""
    rows = [
        {"label": label, "cells": [_number(cell, records) for cell in cells]} for label, cells in grid.rows
    ]
    return {
        "title": grid.title,
        "images": images(grid, records),
        "columns": list(map(column_title, grid.columns)),
        "rows": rows if has_numbers(grid, records) else [],
        "missing": command_of_missing(table, grid, records, told),
    }


def _number(cell: Cell | None, records: Mapping[Place, Record]) -> dict[str, str]:
    """Returns one place of a figure's grid."""
    record = records.get(cell.place) if cell else None
    if cell is None or record is None:
        return {"kind": "missing", "reported": reported_text(cell.reported)} if cell else {"kind": "empty"}
    return _measured(cell, record.metrics[cell.metric])


def _inches(picture: Path) -> float:
    """Returns the width of a picture, by which its text is as large on the page as that of others."""
    with Image.open(picture) as image:
        return image.width / float(image.info.get("dpi", (DPI,))[0])


def _embedded(picture: Path) -> str:
    """Returns a picture as a data URL, so that the page needs no other file; small: WebP in 128 colors."""
    small = BytesIO()
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE).convert("RGB")
        few.save(small, "WEBP", lossless=True, quality=100, method=4)
    return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"
