"""Signs that an attack failed: each on losses and outcomes where the answer is plain."""

import math

import torch
from records import estimate, record

from vqexp.adversaries.view import View
from vqexp.attacks import PGD
from vqexp.attacks.losses import LOSSES
from vqexp.audits.checks import Finding
from vqexp.audits.indicators import indicators
from vqexp.audits.result import AuditResult
from vqexp.metrics import Member, worst_case
from vqexp.reports.render.audit_indicators import indicators_table

STEPS = torch.arange(100.0)


def member(rights):
    """rights: of each image, its outcome in each draw."""
    outcomes = torch.tensor(rights).T
    return Member(torch.arange(outcomes.shape[1]), outcomes.double().mean(0), outcomes, outcomes, outcomes)


def audit(losses, rights, loss="margin", less=None):
    config = {"attack": {"loss": loss}, "dataset": {"name": "digits", "n": 8, "num_classes": 10}}
    made = record(config, metrics={"robust_accuracy": estimate()})
    findings = {"PGD": Finding("white_box", made, member(rights), None, losses)}
    if less is not None:
        findings["transfer"] = Finding("transfer", made, member(less), None)
    worst = worst_case([finding.member for finding in findings.values()])
    return AuditResult(findings, list(findings), worst, [], {}, [])


def signs(*losses, loss="margin"):
    """name -> list of bool, for images that all stay right; each loss (steps,) is one restart of an image."""
    found = indicators(audit(torch.stack(losses).unsqueeze(1), [[True]] * len(losses), loss))["PGD"]
    return {name: sign.tolist() for name, sign in found.signs.items() if sign is not None}


def test_a_loss_that_still_rises():
    flat = -torch.exp(-STEPS / 5) - 1
    assert signs(STEPS - 200, flat)["rising"] == [True, False]


def test_a_best_point_that_is_not_the_last():
    back = -(STEPS - 50).abs() - 1
    assert signs(back, STEPS - 200)["passed_best"] == [True, False]


def test_a_success_that_is_lost():
    passed = torch.where(STEPS == 30, 0.5, -1.0)
    assert signs(passed, STEPS * 0 - 1)["silent"] == [True, False]
    # a cross-entropy above log(classes) is surely wrong
    passed = torch.where(STEPS == 30, math.log(10) + 0.1, 0.5)
    assert signs(passed, STEPS * 0 + math.log(9), loss="ce")["silent"] == [True, False]


def test_one_restart_that_converges_is_enough():
    losses = torch.stack([STEPS - 200, -torch.exp(-STEPS / 5) - 1]).unsqueeze(0)
    found = indicators(audit(losses, [[True]]))["PGD"]
    assert found.share("rising") == 0


def test_draws_that_disagree():
    found = indicators(audit(None, [[True, True], [True, False], [False, False]]))["PGD"]
    assert found.signs["unstable"].tolist() == [False, True, False]
    assert found.right.tolist() == [True, False, False]
    assert indicators(audit(None, [[True]]))["PGD"].share("unstable") is None


def test_an_attack_that_knows_less_does_better():
    found = indicators(audit(None, [[True], [True], [False]], less=[[False], [True], [False]]))
    assert found["PGD"].share("transfer") == 0.5  # of two images that the white box leaves right
    assert found["transfer"].share("transfer") is None


def test_the_table():
    lines = indicators_table(audit(torch.stack([STEPS - 200]).unsqueeze(1), [[True]]))
    assert lines[-2] == "| PGD | 1 of 1 | 0 % | 100 % | 0 % | - | - |"


def test_pgd_tells_the_losses_that_it_met(digit_images, digit_classifier):
    images, labels = digit_images.pixels(slice(20)), digit_images.labels[:20]
    attack = PGD(eps=0.1, steps=5, step_size=0.03, loss="margin", restarts=2)
    found = attack.run(digit_classifier, images, labels, 0)
    losses = found.tensors["losses"]
    assert losses.shape == (20, 2, 5)
    # a start at the clean images has their loss
    alone = PGD(eps=0.1, steps=1, step_size=0.03, loss="margin", random_start=False)
    first = alone.run(digit_classifier, images, labels, 0).tensors["losses"][:, 0, 0]
    expected = LOSSES["margin"](View(digit_classifier)(images), labels)
    torch.testing.assert_close(first, expected.detach())
    assert (losses[:, :, -1] > losses[:, :, 0]).float().mean() > 0.9
