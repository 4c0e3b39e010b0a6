"""The audit on defenses whose robustness is known: which verdict is wrong, and what the table shows of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from records import estimate, record

from vqexp.audits.calibration import Subject, judge_audit, load_calibration
from vqexp.audits.checks import Check, Finding
from vqexp.audits.result import AuditResult
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.metrics import Member, worst_case
from vqexp.reports.render.calibration import calibration_page, keep, kept, matrix, table
from vqexp.reports.spec.choices import read_settings

N = 200
SETTINGS = read_settings(CONF / "table" / "calibration.yaml") | {"checkpoints": "weights"}


def member(right):
    outcomes = torch.tensor([[i < right for i in range(N)]])
    margin = torch.where(outcomes[0], 1.0, -1.0)
    return Member(torch.arange(N), margin, outcomes, outcomes, outcomes)


def audit(pgd, autoattack, checks=()):
    """An audit whose attacks leave so many of 200 images right."""
    accuracy = {name: estimate(0.9, N) for name in ("natural_accuracy", "robust_accuracy")}
    made = record(metrics=accuracy)
    findings = {
        "no attack": Finding("natural", made, None, member(180)),
        "PGD, margin": Finding("white_box", made, member(pgd), None),
        "AutoAttack, EOT": Finding("white_box", made, member(autoattack), None),
    }
    counted = ["PGD, margin", "AutoAttack, EOT"]
    worst = worst_case([findings[label].member for label in counted])
    return AuditResult(findings, counted, worst, checks, {}, [])


def judged(truth, *result, **more):
    return judge_audit(Subject(f"a {truth} one", truth, []), audit(*result, **more), "the command")


def test_a_broken_defense_must_be_called_so():
    assert judged("broken", 0, 0).faults == ()
    assert judged("broken", 100, 100).faults == (
        "the verdict must be BROKEN",
        "the worst case must be below 5 %",
    )
    # below what guessing gives, but not below 5 %
    assert judged("broken", 11, 11).faults == ("the worst case must be below 5 %",)


def test_a_sound_defense_must_be_let_alone():
    assert judged("sound", 150, 150).faults == ()
    assert judged("sound", 0, 0).faults == ("the verdict must be NO BREAK FOUND",)
    alarm = Check("steps", False, "", "the true gradient is zero on 9 % of images", masking=True, weak=False)
    found = judged("sound", 150, 150, checks=[alarm])
    assert found.faults == ("false alarm: the true gradient is zero on 9 % of images",)


def test_the_other_attacks_lie_within_a_point_of_autoattack():
    assert judged("sound", 152, 150).faults == ()  # 1 point of 200 images
    found = judged("sound", 153, 150)
    assert found.faults == ("the other attacks must lie within 1 point of AutoAttack",)
    assert (found.autoattack, found.others, found.worst) == (0.75, 0.765, 0.75)


def test_the_matrix_counts_verdicts():
    lines = matrix([judged("broken", 0, 0), judged("broken", 100, 100), judged("sound", 150, 150)])
    assert lines[0] == "| known to be | BROKEN | NO BREAK FOUND |"
    assert lines[2:] == ["| broken | 1 | 1 |", "| sound | 0 | 1 |"]


def test_a_wrong_verdict_stands_out():
    found = [judged("broken", 100, 100), judged("sound", 150, 150)]
    page = calibration_page(found)
    assert "**1 of 2 audits say what is known.**" in page
    assert "**the verdict must be BROKEN; the worst case must be below 5 %** |" in table(found)[2]
    assert {line.count("|") for line in table(found)} == {12}


def test_what_is_of_more_images_is_kept(tmp_path):
    found = judged("broken", 0, 0)
    keep([found, replace(found, label="smoke", smoke=True)], tmp_path)
    keep([replace(found, n=8, worst=0.5)], tmp_path)
    assert kept(tmp_path, tmp_path) == [found]
    keep([replace(found, worst=0.01)], tmp_path)
    assert kept(tmp_path, tmp_path)[0].worst == 0.01


def test_the_subjects():
    table = load_calibration(SETTINGS)
    truths = [subject.truth for subject in table.subjects()]
    assert truths.count("broken") >= 11
    assert truths.count("sound") >= 5
    one = load_calibration({**SETTINGS, "only_rows": ["provable l-inf 0.1"]}).subjects()
    assert [subject.label for subject in one] == ["provable l-inf 0.1"]
    assert f"classifier.checkpoint={Path('weights', 'mnist-convex-0.1.safetensors')}" in one[0].overrides


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": []}, "table.rows is empty"),
        ({"rows": [{"label": "x", "truth": "perhaps"}]}, "must be one of broken, sound"),
        ({"only_rows": ["nothing"]}, "table.only_rows has 'nothing', a part of none of: undefended"),
        ({"atacks": []}, "table.atacks is no setting of a table"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ConfigError, match=message):
        load_calibration({**SETTINGS, **change})


def test_end_to_end(vqexp, store):
    few = ("table.only_rows=[undefended,provable l-inf 0.1]", 'table.attacks=["no attack","PGD, margin"]')
    quick = ("scale=smoke", "scale.audit.members=40", "scale.attack_steps=20", "training.epochs=5")
    status, out, err = vqexp("-m", "table=calibration", *few, *quick, store=store)
    assert (status, err) == (0, "")
    assert "left out, provable l-inf 0.1: " in out
    assert "| broken | 1 | 0 |" in out
    assert "| undefended | broken | BROKEN |" in out
    page = Path(out.strip().splitlines()[-1].removeprefix("page: ")).read_text()
    assert "**1 of 1 audits say what is known.**" in page
    assert not (store / "calibration").exists()  # no measurement
    status, _, err = vqexp("-m", "table=calibration", "table.only_rows=[provable l-inf 0.1]", store=store)
    assert status == 2
    assert err.count("\n") == 1
