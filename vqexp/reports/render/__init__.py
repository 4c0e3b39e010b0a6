"""Showing: Markdown, HTML, LaTeX, drawings."""
