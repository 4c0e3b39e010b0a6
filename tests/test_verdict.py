"""The verdict of an audit: each rule at its edge, and what it rests on."""

import math
from dataclasses import replace

import pytest
import torch
from records import estimate, record

from vqexp.audits.checks import Check, Finding, attack_checks
from vqexp.audits.result import AuditResult
from vqexp.audits.standing import headline, standing
from vqexp.audits.verdict import RULES, Standing, attacker, opening, rules, surely_below, trust, verdict_of
from vqexp.metrics import Member, worst_case

SOUND = Standing(
    natural=0.9,
    worst=0.6,
    interval=(0.5, 0.7),
    n=100,
    by="PGD that knows it",
    ignores=0.62,
    below_ignores=False,
    reported=0.65,
    classes=10,
    weak=[],
    run=42,
    of=42,
)


def verdict(**changes):
    return verdict_of(replace(SOUND, **changes))


def test_none_right_of_32_is_broken_on_10_classes():
    """The two-sided interval reaches 10.7 %, the one-sided bound 7.8 %: below what guessing gives."""
    found = verdict(natural=0.738, worst=0.0, interval=(0.0, 0.107), n=32)
    assert found.line == "BROKEN: 73.8 % -> 0.0 % [0.0, 10.7] by PGD that knows it"
    assert verdict(worst=0.0, interval=(0.0, 0.107), n=32, classes=100, below_ignores=True).word == "WEAKENED"
    assert verdict(worst=0.0, interval=(0.0, 0.04), n=100, classes=100).word == "BROKEN"


@pytest.mark.parametrize(
    ("share", "n", "bound", "below"),
    [
        (0, 32, 0.1, True),
        (0, 24, 0.1, False),
        (0, 52, 0.05, True),
        (0, 51, 0.05, False),
        (0.1, 10**6, 0.1, False),
    ],
)
def test_how_sure_one_is(share, n, bound, below):
    """One-sided Wilson bound of no success: 1.645^2 / (n + 1.645^2)."""
    assert surely_below(share, n, bound) == below


def test_weakened_says_by_what():
    found = verdict(below_ignores=True)
    assert found.line.startswith(
        "WEAKENED: 90.0 % -> 60.0 % [50.0, 70.0] by PGD that knows it; 62.0 % against"
    )
    assert verdict(reported=0.71).line.endswith("; 71.0 % reported")
    assert verdict(reported=0.69).word == "NO BREAK FOUND"
    # a weak attack that breaks it has broken it
    assert verdict(below_ignores=True, weak=["accuracy is still 40 %"]).word == "WEAKENED"


def test_nearly_no_robustness_on_few_images_is_no_robustness():
    few = {"worst": 0.01, "interval": (0.0, 0.15), "n": 24, "reported": None}
    assert verdict(**few, weak=["any"]).word == "TOO FEW IMAGES"
    assert verdict(**few, below_ignores=True).word == "WEAKENED"
    assert verdict(**{**few, "worst": 0.12}).word == "NO BREAK FOUND"


def test_a_weak_attack_finds_no_robustness():
    assert verdict().word == "NO BREAK FOUND"
    found = verdict(weak=["accuracy is still 40 % at eps 32/255"])
    assert found.line.startswith("ATTACK TOO WEAK: 90.0 % -> 60.0 %")
    assert found.line.endswith("; accuracy is still 40 % at eps 32/255")


def test_an_unfinished_audit_has_no_verdict():
    broken = {"worst": 0.0, "interval": (0.0, 0.02), "n": 200}
    assert verdict(**broken).word == "BROKEN"
    found = verdict(**broken, run=14, of=39)
    assert found.word == found.line == "INCOMPLETE (14 of 39 rows)"
    assert found.rule == RULES["INCOMPLETE"]


def test_who_attacks():
    assert attacker("PGD, one target after the other", "white_box") == "PGD that knows it"
    assert attacker("AutoAttack that ignores the defense", "oblivious") == "AutoAttack that ignores it"
    assert attacker("PGD on another classifier", "transfer") == "PGD on another classifier"


def test_masking_is_stated_as_found():
    held = Check("a", True, "fine")
    masked = Check(
        "true gradient exists", False, "", "the true gradient is zero on 100 % of images", masking=True
    )
    weak = Check(
        "more steps no longer help", False, "", "the last increase of steps, to 200, takes 9.0 points"
    )
    lines = trust([held, replace(masked, weak=False)], complete=True)
    assert lines[:2] == ["1 of 2 attack checks held.", f"Gradient masking: {masked.found}."]
    assert "No attack check speaks against the attack." in lines
    lines = trust([held, masked, weak], complete=True)
    assert f"The attack is not at its strongest: {weak.found}." in lines
    assert not any("speaks against" in line for line in lines)
    assert "no positive control here" in lines[-1]
    assert not any("speaks against" in line for line in trust([held], complete=False))


def member(rights, margin):
    right = torch.tensor([rights], dtype=torch.bool)
    return Member(torch.arange(len(rights)), torch.full((len(rights),), float(margin)), right, right, right)


def result(white, oblivious, missing=(), reported_eps=0.2):
    """An audit of pRD on digits with three rows."""
    natural = estimate(0.9, len(white), ci95=(0.8, 0.95))
    found = record({"preset": {"eps": reported_eps}}, metrics={"natural_accuracy": natural})
    clean = member([True] * len(white), 1)
    findings = {
        "no attack": Finding("natural", found, None, clean),
        "PGD that ignores the defense": Finding("oblivious", found, member(oblivious, 0), clean),
        "PGD, margin": Finding("white_box", found, member(white, -1), clean),
    }
    counted = list(findings)[1:]
    worst = worst_case([findings[label].member for label in counted])
    return AuditResult(findings, counted, worst, attack_checks(findings, counted, worst), {}, list(missing))


def test_what_an_audit_stands_on():
    found = standing(result([True] * 50 + [False] * 50, [True] * 80 + [False] * 20))
    assert (found.natural, found.worst, found.n, found.by) == (0.9, 0.5, 100, "PGD that knows it")
    assert (found.ignores, found.below_ignores, found.classes) == (pytest.approx(0.8), True, 10)
    assert verdict_of(found).word == "WEAKENED"
    assert (found.run, found.of) == (3, 3)
    # 3 of 100 images are no clear difference, image by image
    assert not standing(result([True] * 77 + [False] * 23, [True] * 80 + [False] * 20)).below_ignores


def test_the_page_opens_with_the_verdict_and_its_rule():
    head = headline(result([False] * 60, [True] * 40 + [False] * 20))
    lines = opening(head, [])
    assert lines[0] == "**BROKEN: 90.0 % -> 0.0 % [0.0, 6.0] by PGD that knows it**"
    assert lines[2] == f"The rule: {RULES['BROKEN']}."
    assert "66.67 % against an attacker who ignores the defense" in lines[4]
    assert all(any(word in line for line in rules()) for word in RULES)
    unfinished = headline(result([False] * 60, [True] * 60, missing=["Square Attack"]))
    assert (unfinished["verdict"], unfinished["of"]) == ("INCOMPLETE (3 of 4 rows)", "4")


def gradients(zero):
    metrics = {"natural_gradient_all_zero": estimate(zero), "natural_gradient_not_finite": estimate(0.0)}
    metrics |= {"natural_gradient_norm": estimate(0.0), "natural_gradient_cosine": estimate(math.nan)}
    return Finding("gradients", record(metrics=metrics), None, None)


def test_a_zero_gradient_weakens_only_an_attack_that_has_no_other():
    both = {
        "gradients: true gradient": gradients(1.0),
        "gradients: the gradient that attacks follow": gradients(0.0),
    }
    first, second = attack_checks(both, [], None)
    assert (first.holds, first.weak, first.masking) == (False, False, True)
    assert first.found == "the true gradient is zero on 100 % of images"
    assert second.holds
    (alone,) = attack_checks({"gradients: true gradient": gradients(0.125)}, [], None)
    assert (alone.holds, alone.weak) == (False, True)
    assert alone.found == "the true gradient is zero on 12.5 % of images"


def noise(takes, attack_takes, n=200):
    """The check on noise where it and the attack take so many of n images, all of them right without."""
    rights = [[False] * taken + [True] * (n - taken) for taken in (takes, attack_takes)]
    finding = Finding("noise", record(), member(rights[0], 0), member([True] * n, 1))
    (check,) = attack_checks({"random noise": finding}, [], worst_case([member(rights[1], -1)]))
    return check


def test_noise_is_weak_against_a_robust_defense_too():
    """An attack that takes 5 points is no weaker for it, as long as noise takes less than half of that."""
    assert noise(2, 10).holds
    assert not noise(30, 40).holds
    assert noise(30, 200).holds
    assert (
        noise(30, 40).found == "random noise of the same size takes 15.0 points, the worst case 20.0 points"
    )
