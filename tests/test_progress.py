"""Progress bars: figures on a terminal, silence elsewhere."""

import io

import pytest
from rich.console import Console

from vqexp.core import progress


@pytest.mark.parametrize("terminal", [True, False])
def test_a_stage_shows_its_figures_on_a_terminal_only(monkeypatch, terminal):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=160)
    monkeypatch.setattr(progress, "Console", lambda **settings: console)
    with progress.progress_bar("attack", 40) as bar:
        bar.advance(10, accuracy=0.5, loss=1.25)
    text = shown.getvalue()
    if not terminal:
        assert text == ""
        return
    for part in ("attack", "10/40", "eta", "accuracy 50.0 %", "loss 1.25"):
        assert part in text
