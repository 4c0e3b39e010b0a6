"""A table as LaTeX, for \\input: rows by columns, needs the booktabs package."""

from vqexp.core.text import shown
from vqexp.reports.render.comparison import outside, reported_text
from vqexp.reports.render.material import Entry
from vqexp.reports.spec.cell import Cell

ESCAPES = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "^": r"\^{}"}


def page(entry: Entry) -> str:
    """Returns the table: measured over reported, a dagger where the interval excludes the reported value."""
    table = entry.table
    records = entry.sections[0].records if entry.sections else {}
    cells = {cell.place: cell for cell in table.cells(quoted=True)}

    def text(cell: Cell | None) -> tuple[str, str]:
        if cell is None:
            return "", ""
        below = escape(reported_text(cell.reported))
        record = records.get(cell.place)
        if cell.quoted or record is None:
            return (escape(cell.quoted) if cell.quoted else "--"), below
        estimate = record.metrics[cell.metric]
        mark = r"$^\dagger$" if outside(cell, estimate) else ""
        return escape(shown(estimate)) + mark, below

    lines = [
        f"% {table.title}; {table.source}. Needs \\usepackage{{booktabs}}.",
        r"\begin{tabular}{l" + "r" * len(table.columns) + "}",
        r"\toprule",
        " & ".join(["", *map(escape, table.columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        texts = [text(cells.get((row["label"], column))) for column in table.columns]
        lines.append(" & ".join([escape(row["label"]), *(above for above, _ in texts)]) + r" \\")
        lines.append(" & ".join([r"\quad reported", *(below for _, below in texts)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Escapes the characters that LaTeX reserves."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)
