"""Progress: lines that fit a terminal and move by step; without one, a log line now and then."""

import io
import re

import pytest
import torch
from rich.console import Console
from torch import nn

from vqexp.attacks import PGD, DeepFool, Square, TargetedPGD
from vqexp.core import progress
from vqexp.core.store import Artifact, Job, Store
from vqexp.pipeline.ledger import Ledger


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("terminal", [True, False])
def test_a_short_stage_shows_its_figures_on_a_terminal_only(monkeypatch, capsys, terminal):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=80)
    monkeypatch.setattr(progress, "Console", lambda **settings: console)
    with progress.progress_bar("attack", 40) as bar:
        bar.advance(10, accuracy=0.5, loss=1.25)
    text = shown.getvalue() + capsys.readouterr().err
    if not terminal:
        assert text == ""
        return
    for part in ("attack", "10/40", " left", "accuracy 50.0 %", "loss 1.25"):
        assert part in text


@pytest.mark.parametrize(
    ("title", "figures"),
    [
        ("attack", {"accuracy": 0.5}),
        ("training", {"epoch": 100, "train_loss": 0.000123456, "train_accuracy": 0.9999}),
        ("votes 9,001 to 10,000 of 10,000", {"images/s": 123.4, "draws/s": 123456.7}),
        ("adversarial, undefended, report", {"accuracy": 1.0}),
    ],
)
def test_a_line_fits_80_columns_with_the_time_left(clock, title, figures):
    bar = progress.Bar(title, 100_000)
    clock[0] += 7265
    bar.advance(50_000, **figures)
    line = bar.line(80)
    assert len(line) <= 80
    assert "50,000/100,000  2:01:05  2:01:05 left" in line
    assert title[:10] in line
    for width in (20, 40, 60, 200):
        assert len(bar.line(width)) <= width


def test_what_was_done_before_says_nothing_of_the_speed(clock):
    bar = progress.Bar("attack", 100)
    bar.skip(80)
    clock[0] += 10
    bar.advance(10)
    assert "0:10 left" in bar.line()


def shares(attack, model=None, n=2):
    """What is done of one piece, at each call of the model."""
    model, found = model or nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), []
    model.register_forward_hook(lambda *_: found.append(bar._reached))
    images = torch.rand(n, 1, 4, 4)
    with progress.progress_bar("attack", n) as bar:
        bar.during(n, lambda: attack.run(model, images, torch.zeros(n, dtype=torch.long), seed=0))
        assert bar._loops == []
    return found, bar


def test_attacks_move_by_step():
    found, _ = shares(PGD(eps=0.1, steps=4, step_size=0.1, restarts=2))
    assert found[:8] == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8]
    found, _ = shares(TargetedPGD(eps=0.1, steps=2, step_size=0.1, targets=3))
    assert found[1:7] == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    found, _ = shares(Square(eps=0.1, queries=4, p_init=0.5))
    assert found == [0, 1 / 4, 2 / 4, 3 / 4]


def test_another_librarys_attack_counts_its_calls():
    found, bar = shares(DeepFool(eps=1, steps=3, overshoot=0.02))
    assert f"{len(found)} calls" in bar.line(80)


def test_outside_a_stage_nothing_is_counted():
    assert list(progress.stepwise(range(3))) == [0, 1, 2]
    progress.asked()
    assert progress._running == []


def test_without_a_terminal_a_long_stage_is_logged(clock, capsys):
    def line():
        return capsys.readouterr().err.rstrip()

    with progress.progress_bar("attack", 4) as bar:
        for _ in bar.during(2, lambda: progress.stepwise(range(2))):
            clock[0] += 4
        assert line() == ""
        clock[0] += 4
        bar.advance(2, accuracy=0.5)
        assert line() == "attack  2/4  0:12  0:12 left  accuracy 50.0 %"
        clock[0] += 30
        bar.advance(1)
        assert line() == ""
        clock[0] += 30
        bar.advance(1, accuracy=0.25)
        assert line() == "attack  4/4  1:12  accuracy 25.0 %"
        clock[0] += 1
    assert line() == "attack  4/4  1:13  accuracy 25.0 %"


def test_chunks_of_the_store_count_as_done_before(clock, capsys, tmp_path):
    def compute():
        clock[0] += 60
        return Artifact({"x": torch.zeros(1)})

    jobs = [Job("kind", str(number), compute) for number in range(4)]
    ledger = Ledger(Store(tmp_path))
    ledger.fetch(jobs[0])
    capsys.readouterr()
    ledger.fetch_chunks("attack", jobs, [slice(5 * at, 5 * at + 5) for at in range(4)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "attack  10/20  1:00  2:00 left"  # 15 to go, of which 5 took a minute
    assert re.fullmatch(r"attack  20/20  3:00", lines[-1])
