"""All faults, counted: what `make faults` runs and `results/reliability.md` shows."""

import contextlib
import io
import random
from pathlib import Path

import torch
from damage import damage_artifacts, damage_records
from generated import BASES, NOT_MEANT, configured, settings
from kills import kill_reports, kill_runs

from vqexp.core.config import CONFIG_FAULTS, config_message
from vqexp.pipeline import prepare

Counted = list[tuple[str, int, int]]  # what was done, how often, and how often it went wrong


def measured(folder: Path, kills: int, damages: int, settings: int) -> Counted:
    """Does all of it, in `folder`."""
    torch.set_num_threads(1)
    refused, tracebacks = bad_settings(folder, settings)
    artifacts, records = damage_artifacts(folder / "artifacts", damages), damage_records(folder, damages)
    for name in ("runs", "reports"):
        (folder / name).mkdir()
    runs, reports = kill_runs(folder / "runs", kills), kill_reports(folder / "reports", kills)
    return [
        (
            f"settings that nobody means, of which {refused} refused in one line: tracebacks",
            settings,
            tracebacks,
        ),
        ("artifacts damaged: taken for whole, with other contents", artifacts.tried, artifacts.unnoticed),
        ("records damaged: taken for whole, with other contents", records.tried, records.unnoticed),
        ("runs killed at a random moment: results lost or other than undisturbed", runs.kills, runs.lost),
        ("runs killed at a random moment: finished stages made again", runs.kills, runs.twice),
        (
            "reports killed at a random moment: files lost or other than undisturbed",
            reports.kills,
            reports.lost,
        ),
    ]


def bad_settings(folder: Path, times: int, seed: int = 0) -> tuple[int, int]:
    """(refused in one line, anything else but accepted) of so many configurations, without the work."""
    chance, refused, wrong = random.Random(seed), 0, 0
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()):
        for _ in range(times):
            choices = chance.choice(BASES)
            names = chance.sample(settings(choices), chance.randint(1, 3))
            try:
                prepare(configured(choices, {name: chance.choice(NOT_MEANT) for name in names}), False)
            except CONFIG_FAULTS as error:
                one_line = "\n" not in config_message(error)
                refused, wrong = refused + one_line, wrong + (not one_line)
            except BaseException:
                wrong += 1
    return refused, wrong


def page(found: Counted, command: str) -> str:
    """The counts in Markdown."""
    lines = [
        "# Faults",
        "",
        f"Counted by `{command}`, which writes this page. `tests/faults` runs a short version.",
        "Kills strike training, attack, evaluation and certificate, and the report as it writes and draws.",
        "",
        "| fault | times | went wrong |",
        "| --- | --- | --- |",
        *(f"| {what} | {times} | {wrong} |" for what, times, wrong in found),
    ]
    return "\n".join([*lines, ""])
