"""The report as one self-contained page, `results/index.html`, from `templates/index.html`."""

import base64
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
from vqexp.core.text import interval, percent, runs, shown
from vqexp.pipeline.record import Record
from vqexp.reports.analysis.classifier import classifier_name
from vqexp.reports.analysis.gather import Place, Section
from vqexp.reports.analysis.judge import WORDS
from vqexp.reports.analysis.options import options
from vqexp.reports.analysis.values import Grid, command_of_missing, grids, has_numbers, images
from vqexp.reports.render import calibration
from vqexp.reports.render.comparison import difference, outside, reported_text
from vqexp.reports.render.finding import finding
from vqexp.reports.render.gaps import gaps_section
from vqexp.reports.render.kept import AUDIT_COLUMNS, AUDITS_TEXT, AuditPage
from vqexp.reports.render.markdown import figure_options, section_origin
from vqexp.reports.render.material import Drawn, Entry, Judged, Material, command
from vqexp.reports.render.protocols import protocols
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.table import Table

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
    claims: dict[str, list[Judged]] = {word: [] for word in WORDS}
    for claim in material.claims:
        claims[claim.measured.word].append(claim)
    entries = [*material.tables, *(entry for drawn in material.figures for entry in drawn.entries)]
    entries = list({entry.table.name: entry for entry in entries}.values())
    environment = Environment(
        loader=PackageLoader("vqexp.reports.render"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    said = {word: [claim for claim in group if not claim.ours] for word, group in claims.items()}
    environment.filters["capitalized"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["inline"] = lambda text: Markup(MARKDOWN.renderInline(text))
    return environment.get_template("index.html").render(
        finding=finding(audits),
        claims=list(said.items()),
        ours=[claim for group in claims.values() for claim in group if claim.ours],
        audit_columns=AUDIT_COLUMNS,
        audits_text=AUDITS_TEXT,
        cells=(
            sum(len(entry.sections[0].records) for entry in entries if entry.sections),
            sum(len(entry.table.cells()) for entry in entries),
        ),
        audits=[_audit(name, audit, folder) for name, audit in audits.items()],
        gaps=Markup(MARKDOWN.render(gaps_section(material.waterfalls, material.pictures, _embedded))),
        protocols=Markup(MARKDOWN.render(protocols(material.tables, audits))),
        calibration=MARKDOWN.render("\n".join(calibration.section(calibrated))) if calibrated else "",
        tables=[_table(entry) for entry in material.tables],
        figures=[_figure(drawn) for drawn in material.figures],
    )


def _audit(name: str, audit: AuditPage, folder: Path) -> dict[str, Any]:
    body = MARKDOWN.render(audit.text.split("\n", 1)[1])
    picture = folder / f"{name}.png"
    if picture.exists():
        body = body.replace(f'src="{picture.name}"', f'src="{_embedded(picture)}"')
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
        (cell.row, cell.column): cell
        for cell in table.cells(quoted=first)
        if cell.quoted or (cell.row, cell.column) in section.places
    }
    columns = [name for name in table.columns if any(column == name for _, column in cells)]
    labels = [row["label"] for row in table.rows if any(label == row["label"] for label, _ in cells)]
    told = options(table, section)
    return {
        "title": section.title,
        "columns": columns,
        "rows": [
            {
                "label": label,
                "cells": [_cell(table, section, cells.get((label, name)), told) for name in columns],
            }
            for label in labels
        ],
        "options": told,
        "provenance": section_origin(section) if section.records else "",
    }


def _cell(table: Table, section: Section, cell: Cell | None, told: str) -> dict[str, str]:
    """Returns one place of the grid. told: the options of the section."""
    if cell is None:
        return {"kind": "empty"}
    reported = reported_text(cell.reported)
    if cell.quoted:
        return {"kind": "quoted", "reported": reported, "instead": cell.quoted}
    record = section.records.get((cell.row, cell.column))
    if record is None:
        return {"kind": "missing", "reported": reported, "command": command(table, cell, told)}
    return _measured(
        cell,
        record.metrics[cell.metric],
        _hover(cell, record, section.measured.get((cell.row, cell.column), [record])),
    )


def _measured(cell: Cell, estimate: Estimate, hover: str) -> dict[str, str]:
    apart = outside(cell, estimate)
    gap = difference(cell, estimate)
    return {
        "kind": "measured",
        "reported": reported_text(cell.reported),
        "measured": shown(estimate),
        "interval": "" if hover else interval(estimate),
        "gap": gap if apart else f"≈ {gap}",
        "mark": "outside" if apart else "inside",
        "hover": hover,
    }


def _hover(cell: Cell, record: Record, every: Sequence[Record]) -> str:
    """Returns what the pointer shows of a cell. every: those, one a training, that `record` sums up."""
    metrics, made = record.metrics, record.provenance
    estimate, own = metrics[cell.metric], metrics.get(f"{cell.metric}_on_correct")
    lines = [
        f"95 % interval {interval(estimate)}; n {estimate.n}, runs {runs(estimate)}",
        f"on images that f gets right: {percent(own)}" if own else "",
        f"f: {classifier_name(*every)}",
        f"commit {(made.commit or 'unknown')[:10]}, {made.device}, {made.date[:10]}",
    ]
    return "\n".join(line for line in lines if line)


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
        "columns": grid.columns,
        "rows": rows if has_numbers(grid, records) else [],
        "missing": command_of_missing(table, grid, records, told),
    }


def _number(cell: Cell | None, records: Mapping[Place, Record]) -> dict[str, str]:
    """Returns one place of a figure's grid."""
    record = records.get((cell.row, cell.column)) if cell else None
    if cell is None or record is None:
        return {"kind": "missing", "reported": reported_text(cell.reported)} if cell else {"kind": "empty"}
    return _measured(cell, record.metrics[cell.metric], "")


def _embedded(picture: Path) -> str:
    """Returns a picture as a data URL, so that the page needs no other file; small: WebP in 128 colors."""
    small = BytesIO()
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE).convert("RGB")
        few.save(small, "WEBP", lossless=True, quality=100, method=4)
    return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"
