"""The page of an audit as one self-contained HTML file."""

import base64
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#dcdcdc, #444); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; padding-top: .5rem; border-top: 2px solid var(--line); }
p:first-of-type { font-size: 1.2rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
pre { overflow-x: auto; } img { max-width: 100%; background: #fff; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def audit_html(text: str, pictures: Sequence[Path] = ()) -> str:
    """Returns the page. text: `audit_page`'s Markdown. pictures: PNG files, which become part of the page."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    for path in pictures:
        data = base64.b64encode(path.read_bytes()).decode()
        body += f'<p><img alt="robust accuracy along each setting" src="data:image/png;base64,{data}"></p>\n'
    return PAGE.format(title=text.partition("\n")[0].lstrip("# "), style=STYLE, body=body)
