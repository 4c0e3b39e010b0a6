"""The table of signs that an attack failed, on the page of an audit."""

from vqexp.audits.checks import percent_of
from vqexp.audits.indicators import TITLES, indicators
from vqexp.audits.result import AuditResult
from vqexp.reports.render.row import markdown_row

TEXT = (
    "Shares of the images that an attack leaves right; a dash where nothing is known. A large one says that "
    "the attack failed there, not that the image is robust (Pintor et al. 2022)."
)


def indicators_table(result: AuditResult) -> list[str]:
    """Returns the table, a line for each attack of the worst case; nothing without attacks."""
    found = indicators(result)
    if not found:
        return []
    heads = ["attack", "left right", *TITLES.values()]
    lines = [
        "## Signs of failed attacks, image by image",
        "",
        TEXT,
        "",
        markdown_row(heads),
        markdown_row(["---"] * len(heads)),
    ]
    for label, each in found.items():
        left = f"{int(each.right.sum())} of {len(each.right)}"
        shares = [each.share(name) for name in TITLES]
        lines.append(
            markdown_row([label, left, *("-" if share is None else percent_of(share) for share in shares)])
        )
    return [*lines, ""]
