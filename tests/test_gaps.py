"""Why the numbers differ: waterfalls, reasons, and how many images would decide a claim."""

import json
import math
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import estimate, record
from statsmodels.stats.proportion import proportion_confint

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.core.estimate import spread
from vqexp.reports.analysis.comparisons import Comparison
from vqexp.reports.analysis.gaps import OF, spec, waterfalls
from vqexp.reports.analysis.judge import RULES, judge
from vqexp.reports.analysis.points import Point
from vqexp.reports.analysis.power import Needed, images_needed, needed
from vqexp.reports.analysis.reasons import reason
from vqexp.reports.render.gaps import gaps_section, paragraph
from vqexp.reports.render.waterfall import draw_waterfall
from vqexp.reports.spec.claims import Claim, load_claims
from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.table import all_tables

TABLES = {table.name: table for table in all_tables()}
FIGURES = {figure.name: figure for figure in all_figures()}
ALL = {**TABLES, **{figure.table.name: figure.table for figure in FIGURES.values() if figure.table}}
CLAIMS = [claim for each in (*TABLES.values(), *FIGURES.values()) for claim in each.claims]
F, LONGER = "MNIST, ResNet18 as given", "MNIST, small ResNet, 25 epochs at 0.001"


def measured(*, batch=0.8, both=0.7, other=0.9):
    """Of Table 1 under PGD, the same for each defense; None: not measured."""
    found = {}
    for defense, row in spec()["waterfalls"][0]["rows"].items():
        found["vq_table1", row, "pgd"] = estimate(0.1, std=0.01, runs=10)
        steps = {(F, "pgd_batch"): batch, (F, "pgd_batch_both"): both, (LONGER, "pgd_batch_both"): other}
        for (f, column), value in steps.items():
            if value is not None:
                found[OF, f"{f}, {defense}", column] = estimate(value)
    return found


def table1(values):
    return next(each for each in waterfalls(TABLES, values) if each.name == "vq_table1_pgd")


def test_the_steps_add_up_to_the_gap():
    found = table1(measured())
    assert found.changes("pRD") == [
        ("unexplained", pytest.approx(90 - 92.29)),
        ("our f", pytest.approx(-20)),
        ("attack", pytest.approx(10)),
        ("evaluation mode", pytest.approx(-70)),
    ]
    for defense, reported in found.reported.items():
        whole = sum(change for _, change in found.changes(defense))
        assert reported + whole == pytest.approx(10)
    assert found.draws["swRD"] == pytest.approx(2)


def test_a_step_that_was_not_measured_explains_nothing():
    found = table1(measured(both=None, other=None))
    assert found.changes("pRD") == [
        ("unexplained", pytest.approx(80 - 92.29)),
        ("our f", None),
        ("attack", None),
        ("evaluation mode", pytest.approx(-70)),
    ]
    text = paragraph(found)
    assert "What is explained: *evaluation mode* -70.0." in text
    assert "Not measured for all: *our f*, *attack*." in text
    between = table1(measured(batch=None, other=None)).changes("pRD")
    assert dict(between)["attack"] == pytest.approx(-60)  # with what lies below it
    nothing = table1({})
    assert nothing.changes("pRD")[0] == ("unexplained", None)
    assert paragraph(nothing) == "Not all of RandDisc, pRD, swRD are measured."


def test_the_section_names_a_command_for_every_step(tmp_path):
    found = waterfalls(TABLES, measured())
    pictures = {each.name: path for each in found if (path := draw_waterfall(each, tmp_path))}
    assert list(pictures) == ["vq_table1_pgd"]
    text = gaps_section(found, pictures, lambda path: f"figures/{path.name}")
    assert "![" in text
    assert "(figures/gaps_vq_table1_pgd.png)" in text
    lines = [line for line in text.splitlines() if line.startswith("| our f |")]
    assert len(lines) == len(found)
    for line, waterfall in zip(lines, found, strict=True):
        chosen = dict(word.split("=", 1) for word in shlex.split(line.split("`")[1]) if "only" in word)
        parts, (column,) = (json.loads(chosen[f"table.only_{name}"]) for name in ("rows", "columns"))
        rows = [row["label"] for row in TABLES[OF].rows if any(part in row["label"] for part in parts)]
        assert len({label.rpartition(", ")[0] for label in rows}) == 1
        assert sorted(label.rpartition(", ")[2] for label in rows) == sorted(waterfall.reported)
        assert column in TABLES[OF].columns


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.reason], ids=lambda claim: claim.text)
def test_the_cells_of_a_reason_exist(claim):
    for table, row, column in claim.reason["cells"].values():
        assert (row, column) in {cell.place for cell in ALL[table].cells()}


def test_every_claim_that_did_not_hold_has_a_reason():
    """As the published report judges them."""
    text = (CONF.parent / "results" / "README.md").read_text()
    of = {
        f"{claim.text} ({each.source}, {claim.place})": claim.reason
        for each in (*TABLES.values(), *FIGURES.values())
        for claim in each.claims
    }
    failed = re.findall(r"^\| (.*) \| \*\*did not hold", text, re.M)
    assert len(failed) > 30
    assert [claim for claim in failed if not of[claim]] == []


def test_a_reason_shows_what_is_measured_and_what_is_not():
    told = {
        "text": "{a} against {b} and {c}",
        "cells": {"a": ["t", "r", "x"], "b": ["t", "r", "y"], "c": ["t", "r", "z"]},
    }
    values = {("t", "r", "x"): estimate(0.123), ("t", "r", "y"): estimate(25.5, unit="dB")}
    assert reason(told, values) == "12.3 % against 25.5 dB and (not measured)"
    assert reason(None, values) == ""
    claim = Claim(text="", place="", check="above", bound=60, of={})
    point = Point("a", "", None, "robust", 50, 49, 51, 1000)
    found = replace(judge(claim, "own", {"own": [point]}), reason="because")
    assert (found.word, found.beside) == ("did not hold", ("because",))
    good = replace(judge(replace(claim, bound=40), "own", {"own": [point]}), reason="because")
    assert (good.word, good.beside) == ("held", ())


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"text": "a"}, "must have text and cells"),
        ({"text": "{a}", "cells": {}}, "names .'a'. and has cells"),
        ({"text": "{a}", "cells": {"a": ["t", "r"]}}, "must be .table, row, column."),
    ],
)
def test_a_reason_of_the_wrong_shape_is_refused(told, message):
    entry = {"text": "x", "place": "", "check": "above", "bound": 1, "of": {}, "reason": told}
    with pytest.raises(ConfigError, match=message):
        load_claims("table", [entry])


def test_as_many_images_as_are_needed_show_a_difference():
    """Of samples of that size, four in five do, and of a quarter of it far fewer."""
    rng = np.random.default_rng(0)
    deviation, apart = 3.0, 0.4
    n = round(images_needed(apart, 1.96 * deviation / np.sqrt(500), 500))
    for size, low, high in ((n, 0.76, 0.84), (n // 4, 0.2, 0.4)):
        means = rng.normal(apart, deviation, (2000, size)).mean(1)
        assert low < (means > 1.96 * deviation / np.sqrt(size)).mean() < high


def test_as_many_trainings_as_are_needed_show_a_difference():
    """Where those of f differ so much that no number of images would."""
    rng = np.random.default_rng(0)
    three, deviation, apart = (-2.0, 0.0, 2.0), 3.0, 4.0  # trainings, images, and what is to be seen
    of_images = 1.96 * deviation / np.sqrt(500)
    width = float(np.hypot(of_images, spread(three, three)))
    seen = Comparison(True, apart, "", (), False, width, 500, (three, three))
    assert seen.needed() == math.inf
    found = needed(seen.needed, trained=True, equal=False)
    assert found.trainings > 3
    assert str(found).startswith(f"about {found.trainings} trainings of f on about ")
    n = math.ceil(found.images)
    for count, low, high in ((found.trainings, 0.75, 0.95), (3, 0.1, 0.7)):
        clear = 0
        for _ in range(1000):
            ours, theirs = rng.normal([[apart], [0]], 2.0, (2, count)).tolist()
            middle = np.mean(ours) - np.mean(theirs) + rng.normal(0, deviation / np.sqrt(n))
            clear += middle > np.hypot(1.96 * deviation / np.sqrt(n), spread(ours, theirs))
        assert low < clear / 1000 < high


def test_more_images_do_not_change_what_shared_draws_do():
    """Of a spread that draws give alone none is lost by more images; without it they decide."""
    of_images, over_draws = 3.0, 4.0
    width = float(np.hypot(of_images, over_draws))
    stuck = Comparison(True, 4.0, "", (), False, width, 500, (), False, over_draws)
    assert stuck.needed() == math.inf
    found = needed(stuck.needed, trained=False, equal=False, draws=True)
    assert "draws differ too much, so no number of images" in str(found)
    free = Comparison(True, 8.0, "", (), False, width, 500, (), False, over_draws)
    n = free.needed()
    left = math.sqrt(8.0**2 - (over_draws / 1.96 * (1.96 + 0.8416)) ** 2)
    assert n == pytest.approx((of_images / 1.96 * math.sqrt(500) * (1.96 + 0.8416) / left) ** 2, rel=1e-3)
    points = [
        Point("a", "", None, "robust", 49.0, 44.0, 54.0, 500, over_draws=over_draws),
    ]
    judged = judge(Claim(text="", place="", check="above", bound=50, of={}), "own", {"own": points})
    assert judged.needed == Needed(math.inf, draws=True)


def test_the_words_say_where_no_test_set_is_large_enough():
    assert str(Needed(2261)) == "about 2,300 images would decide it (power 0.8)"
    assert str(Needed(26_000)) == (
        "undecidable here: about 26,000 images would decide it (power 0.8), and the test set has 10,000"
    )
    assert "more than 1,000,000 images" in str(Needed(1e12))
    assert images_needed(0.0, 3.0, 500) == math.inf
    assert "values are equal, so no number of images" in str(Needed(math.inf, equal=True))
    assert "trainings of f differ too much" in str(Needed(math.inf))


def test_an_undecided_claim_tells_how_many_images_would_decide_it():
    """One clear failure would: the least that any of the unclear ones needs, not the most."""
    points = [
        Point("a", "", None, "robust", value, value - 3, value + 3, 500) for value in (49.0, 49.9, 60.0)
    ]
    claim = Claim(text="", place="", check="above", bound=50, of={})
    found = judge(claim, "own", {"own": points})
    assert found.word == "undecided"
    assert found.needed == Needed(images_needed(1.0, 3.0, 500))
    assert found.beside[0] == str(found.needed)
    good = [Point("a", "", None, "robust", value, value - 3, value + 3, 500) for value in (51.0, 50.5, 60.0)]
    assert judge(claim, "own", {"own": good}).needed == Needed(images_needed(0.5, 3.0, 500))
    assert judge(claim, "own", {"own": points[2:]}).needed is None


def test_f_is_told_by_its_checkpoint():
    """By the hash in the record; `auto` is a network that was trained here."""
    from vqexp.reports.spec.choices import read_settings
    from vqexp.reports.spec.fill import says_of_f

    known = read_settings(CONF / "checkpoints.yaml")
    settings = {"classifier.checkpoint": "${oc.env:X,x}/mnist-convex-0.1.safetensors"}
    given = record({"classifier": {}}, classifier={"checkpoint": known["mnist-convex-0.1.safetensors"]})
    other = record({"classifier": {}}, classifier={"checkpoint": known["mnist-convex-0.3.safetensors"]})
    trained = record({"classifier": {}}, classifier={"training": {}})
    assert [says_of_f(settings, each) for each in (given, other, trained)] == [True, False, False]
    auto = {"classifier.checkpoint": "auto"}
    assert [says_of_f(auto, each) for each in (given, other, trained)] == [False, False, True]


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([-20.0, 0.0, 15.0, 30.0]))
def test_what_is_unclear_needs_more_images_than_there_were(ours, theirs, by):
    """Also near 0 and 100 %, where an interval reaches farther to one side."""
    a, b = (point_of(count, 40) for count in (ours, theirs))
    claim = Claim(text="", place="", check="larger_everywhere", by=by, of={}, than={})
    found = [*RULES["larger_everywhere"][0]([replace(a, series="a")], [replace(b, series="b")], (), claim)]
    found += RULES["above"][0]([a], [], (), replace(claim, check="above", bound=50 + by))
    assert len(found) == 2
    assert all(each.clear or each.needed() > 2 * each.n for each in found)


def point_of(right, n):
    low, high = proportion_confint(right, n, method="wilson")
    return Point("", "", None, "robust", 100 * right / n, 100 * low, 100 * high, n)
