"""The report as one self-contained page: `results/index.html`."""

import base64
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment

from vqexp.reports.gather import Section
from vqexp.reports.markdown import HEADINGS, cell_texts, options
from vqexp.reports.material import Claim, Drawn, Entry, Material
from vqexp.reports.summary import provenance
from vqexp.reports.table import outside

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vqexp: measured beside reported</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: 13px; }
th, td { padding: .15rem .55rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
.inside { background: #cfe8f7; } .outside { background: #fbd9b5; font-weight: 600; }
.quoted, .missing { color: #666; font-style: italic; }
code { font-size: 12px; } img { max-width: 100%; } .wide { overflow-x: auto; }
</style>
</head>
<body>
<h1>Measured beside reported</h1>
<p>{{ counts["held"] }} claims of the papers held, {{ counts["did not hold"] }} did not,
{{ counts["not measured"] }} are not measured yet. Figures in percent where they are shares of images.</p>
{% if audits %}<h2>Audits: once the attacker knows the defense</h2>
{% for title, _, worst, rest in audits %}
<p>{{ title.removeprefix("# Audit: ") }}: <strong>{{ worst.replace("**", "") }}</strong></p>
<details><summary>Members and evidence</summary><pre>{{ rest }}</pre></details>
{% endfor %}{% endif %}
{% for word, group in claims %}{% if group %}
<h2 id="claims-{{ loop.index }}">{{ word }}</h2>
<div class="wide"><table>
<tr><th>claim</th><th>comparisons</th><th>worst</th><th>images</th><th>by the paper's own numbers</th></tr>
{% for claim in group %}<tr>
<td>{{ claim.measured.text }} ({{ claim.source }}, {{ claim.measured.place }})</td>
<td>{% if claim.measured.total %}{{ claim.measured.good }} of {{ claim.measured.total }}{% endif %}</td>
<td>{{ claim.measured.worst }}</td>
<td>{% if claim.measured.n %}{{ claim.measured.n | unique | join(" to ") }}{% endif %}</td>
<td>{% if claim.own.held is not none %}{{ claim.own.word }}
{%- if not claim.own.held %}: {{ claim.own.worst }}{% endif %}{% endif %}</td>
</tr>{% endfor %}
</table></div>
{% endif %}{% endfor %}
<h2>Tables</h2>
<p>The difference is <span class="inside">blue</span> where the reported value lies inside the measured one's
95 % interval, <span class="outside">orange and bold</span> where it does not.</p>
{% for table in tables %}
<h3>{{ table.title }} ({{ table.source }})</h3>
{% for note in table.notes %}<p>{{ note }}</p>{% endfor %}
{% for section in table.sections %}
<h4>f: {{ section.title }}</h4>
<div class="wide"><table>
<tr>{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr class="{{ row.kind }}">
{% for text in row.texts %}<td{% if loop.index0 == 5 and row.mark %} class="{{ row.mark }}"{% endif %}>
{%- if row.kind == "missing" and loop.index0 == 4 %}<code>python run.py -m {{ text }}</code>
{%- else %}{{ text }}{% endif %}</td>{% endfor %}
</tr>{% endfor %}
</table></div>
<details><summary>Where these numbers come from</summary>
<p><code>VQEXP_DATA=DIR python run.py -m table={{ table.name }} {{ section.options }}</code></p>
<p>{{ section.provenance }}</p></details>
{% endfor %}{% endfor %}
<h2>Figures</h2>
{% for figure in figures %}
<h3>{{ figure.title }} ({{ figure.source }})</h3>
{% for note in figure.notes %}<p>{{ note }}</p>{% endfor %}
{% if figure.image %}<img alt="{{ figure.title }}" src="data:image/png;base64,{{ figure.image }}">
{% else %}<p class="missing">Not measured yet:
<code>python run.py -m figure={{ figure.name }} scale=cpu</code></p>{% endif %}
{% if figure.provenance %}<details><summary>Where these numbers come from</summary>
<p><code>VQEXP_DATA=DIR python run.py -m figure={{ figure.name }} scale=cpu</code></p>
{% for text in figure.provenance %}<p>{{ text }}</p>{% endfor %}</details>{% endif %}
{% endfor %}
</body>
</html>
"""


def page(material: Material, audits: Mapping[str, str]) -> str:
    """All of `index.html`; pictures are embedded. audits: their pages in Markdown, by name."""
    words = ("did not hold", "held", "not measured")
    claims: dict[str, list[Claim]] = {word: [] for word in words}
    for claim in material.claims:
        claims[claim.measured.word].append(claim)
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(TEMPLATE).render(
        audits=[text.split("\n", 3) for text in audits.values()],
        claims=list(claims.items()),
        counts={word: len(group) for word, group in claims.items()},
        headings=HEADINGS,
        tables=[_table(entry) for entry in material.tables],
        figures=[_figure(drawn) for drawn in material.figures],
    )


def _table(entry: Entry) -> dict[str, Any]:
    table = entry.table
    every = frozenset((cell.row, cell.column) for cell in table.cells())
    shown = entry.sections or [Section(("nothing measured yet",), {}, every)]
    return {
        **{name: getattr(table, name) for name in ("name", "title", "source", "notes")},
        "sections": [_section(entry, section, index == 0) for index, section in enumerate(shown)],
    }


def _section(entry: Entry, section: Section, first: bool) -> dict[str, Any]:
    rows = []
    cells = entry.table.cells(quoted=first)
    for label in [row["label"] for row in entry.table.rows]:
        for cell in cells:
            place = (cell.row, cell.column)
            if cell.row != label or not (cell.quoted or place in section.places):
                continue
            record = section.records.get(place)
            kind = "quoted" if cell.quoted else "missing" if record is None else "measured"
            texts = [text.strip("*`") for text in cell_texts(entry.table, cell, record)]
            mark = ""
            if record is not None and cell.reported:
                mark = "outside" if outside(cell, record["metrics"][cell.metric]) else "inside"
            rows.append({"kind": kind, "texts": texts, "mark": mark})
    return {
        "title": section.title,
        "rows": rows,
        "options": options(entry.table, section),
        "provenance": provenance(section.records.values()) if section.records else "",
    }


def _figure(drawn: Drawn) -> dict[str, Any]:
    figure = drawn.figure
    png = next((path for path in drawn.files if path.suffix == ".png"), None)
    return {
        **{name: getattr(figure, name) for name in ("name", "title", "source", "notes")},
        "image": base64.b64encode(png.read_bytes()).decode() if png else "",
        "provenance": [
            f"f: {section.title}. {provenance(section.records.values())}"
            for entry in drawn.entries
            for section in entry.sections[:1]
        ],
    }
