"""Audits whose stores are gone get their verdict from their pages' own rows; the report leads with it."""

import csv
import re
import shutil
from pathlib import Path

import pytest

from vqexp.audits.members import load_audit
from vqexp.audits.verdict import RULES
from vqexp.core.config import CONF
from vqexp.reports.render.kept import AuditPage, audits_text, kept_audits
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.reported import reported
from vqexp.reports.spec.table import AUDIT

AUDIT_SETTINGS = load_audit(read_settings(CONF / "table" / f"{AUDIT}.yaml"))
PAGE = """# Audit: {defense} on cifar10, eps 8/255

**Worst case: {worst} % robust accuracy [0.0, 10.7] on 32 images, 80.00 % without attack.**

4 of 5 checks held.
Gradient masking: not so: true gradient does not vanish (100.0 % of images have a gradient of zero).

Defense: {defense}({settings}). Written by:

    python run.py -m table=audit defense=x

## Attacks

Robust accuracy in percent.

| attack | knows | one draw | 95 % | vote | every draw | worst on | n |
| --- | --- | --- | --- | --- | --- | --- | --- |
| no attack | natural | 80.00 | [63.1, 90.0] | 80.00 | 80.00 |  | 32 |
| PGD that ignores the defense | oblivious | 60.00 (1.00) | [42.3, 75.4] | 60.00 | 60.00 | 2 | 32 |
| PGD, margin | white box | {worst} | [0.0, 10.7] | 0.00 | 0.00 | 30 | 32 |
{left_out}

## Evidence

| check | holds | |
| --- | --- | --- |
| true gradient does not vanish | **no** | 100.0 % of images have a gradient of zero, 0.0 % one not finite |
| more steps no longer help | yes | the last increase, to 200, takes 0.2 points (standard error 0.2 points) |

## Robust accuracy by eps (n 64)

| eps | 0 | 8/255 |
| --- | --- | --- |
| % | 80.00 | 0.00 |

Commit 0123456789; a CPU; torch 2; 2026-01-01 to 2026-01-01; largest violation of the ball or the box 1e-08.
"""
HEAD = "name,rows,defense,dataset,eps,natural,worst,interval,vote,every,checks,n\n"


def kept(folder, defense, settings, left_out="", worst="0.00", rows=42):
    (folder / "audits").mkdir()
    text = PAGE.format(defense=defense, settings=settings, left_out=left_out, worst=worst)
    (folder / "audits" / "a.md").write_text(text)
    line = f'a,{rows},{defense},cifar10,8/255,80.00,{worst},"[0.0, 10.7]",0.00,0.00,4 of 5,32\n'
    (folder / "audits.csv").write_text(HEAD + line)
    return kept_audits(folder, AUDIT_SETTINGS)["a"]


def test_an_older_page_opens_with_the_verdict(tmp_path):
    found = kept(tmp_path, "pRD", "s=2, k=25, sigma=0.0157, init=random, memory_limit=None")
    lines = found.text.splitlines()
    assert lines[0] == "# Audit: pRD on cifar10, eps 8/255"
    assert lines[2] == "**BROKEN: 80.0 % -> 0.0 % [0.0, 10.7] by PGD that knows it**"
    assert "Gradient masking: the true gradient is zero on 100 % of images." in lines
    assert not re.search(
        "not so|does not vanish|## Evidence|checks held\.$", found.text.replace("attack checks", "")
    )
    assert "| true gradient exists | **no** |" in found.text
    assert "60.00 (1.00) % against an attacker who ignores the defense" in found.text
    # the rest of the page is as it was
    for line in PAGE.splitlines():
        if line.startswith(("| no attack", "| % |", "Commit", "## Robust", "    python")):
            assert line in lines
    assert (found.head["verdict"], found.head["of"]) == ("BROKEN", "42")


def test_a_page_with_a_verdict_stays_as_it_is(tmp_path):
    first = kept(tmp_path, "pRD", "s=2, k=25")
    (tmp_path / "audits" / "a.md").write_text(first.text)
    (tmp_path / "audits.csv").write_text(audits_text({"a": first}))
    again = kept_audits(tmp_path, AUDIT_SETTINGS)["a"]
    assert again == AuditPage({name: first.head[name] for name in again.head}, first.text, 42)
    with open(tmp_path / "audits.csv") as file:
        (row,) = csv.DictReader(file)
    assert (row["verdict"], row["rows"], row["of"]) == ("BROKEN", "42", "42")


def test_rows_that_are_missing_leave_it_incomplete_and_senseless_ones_do_not_count(tmp_path):
    labels = "PGD, DLR, PGD, soft assignment, PGD, EOT, PGD, EOT, true gradient, curve: steps 1, ste"
    labels += ", Square Attack"
    line = f"\n- Left out (without a record, for the command above to run): {labels}."
    found = kept(tmp_path, "JPEG", "quality=75", line, rows=11)
    # of the six, soft assignment and both EOT need a quantizer or draws
    assert found.text.splitlines()[2] == "**INCOMPLETE (11 of 14 rows)**"
    assert "- Not run yet: Square Attack; PGD, DLR; curve: steps 1, ste." in found.text
    assert re.search(r"- Left out \(adversary=soft .*\): PGD, soft assignment\.", found.text)
    assert "without a record" not in found.text


@pytest.mark.parametrize(
    ("defense", "settings", "worst", "word"),
    [
        ("pRD", "s=2, k=25", "50.00", "WEAKENED"),  # of 60.43 reported
        ("JPEG", "quality=75", "50.00", "ATTACK TOO WEAK"),
    ],
)
def test_other_verdicts(tmp_path, monkeypatch, defense, settings, worst, word):
    page = PAGE.replace("[42.3, 75.4]", "[5.0, 75.4]").replace("takes 0.2", "takes 9.2")
    page = page.replace("longer help | yes", "longer help | **no**")
    monkeypatch.setitem(globals(), "PAGE", page)
    assert kept(tmp_path, defense, settings, worst=worst).head["verdict"] == word


def test_the_committed_audits_have_verdicts(tmp_path):
    """Complete ones of the quantizers are broken; those with rows missing say how many."""
    committed = Path(CONF).parent / "results"
    shutil.copytree(committed / "audits", tmp_path / "audits")
    shutil.copy(committed / "audits.csv", tmp_path)
    audits = kept_audits(tmp_path, AUDIT_SETTINGS)
    for name, audit in audits.items():
        verdict = audit.head["verdict"]
        complete = audit.rows == int(audit.head["of"])
        if not complete:
            assert verdict == f"INCOMPLETE ({audit.rows} of {audit.head['of']} rows)"
        elif audit.head["defense"] in ("pRD", "RandDisc", "swRD"):
            assert verdict == "BROKEN"
        else:
            assert verdict in RULES
        assert audit.text.splitlines()[2] == f"**{audit.head['line']}**", name


def test_what_papers_report_of_a_defense():
    """The least of PGD and AutoAttack; of the same s and k, where a table has them."""
    found = reported("cifar10", "pRD", {"s": 2, "k": 70}, 8 / 255)
    assert (found["ignores"].value, found["ignores"].own) == (32.24, True)
    assert (found["knows"].value, found["knows"].own) == (61.21, False)
    assert found["none"].value == 88.18
    assert reported("cifar10", "NoDefense", {}, 8 / 255) == {}  # robust classifiers are no defense before f
    assert reported("imagenet", "RandDisc", {"k": 30}, 4 / 255)["knows"].value == 38.94
