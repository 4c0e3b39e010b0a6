"""What stands beside the verdict on a claim, and which claims are no paper's or not judged."""

import re
from dataclasses import replace

import pytest
from records import estimate, record

from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.reports.analysis.caveats import brittle, cut_down
from vqexp.reports.analysis.classifier import classifier_key
from vqexp.reports.analysis.gather import reported_points
from vqexp.reports.analysis.judge import RULES, judge
from vqexp.reports.analysis.points import Point
from vqexp.reports.render.markdown import table_page
from vqexp.reports.render.material import Entry
from vqexp.reports.spec.claims import CHECKS, Claim, load_claims
from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.table import all_tables, read_table

TABLES = {table.name: table for table in all_tables()}
REPORTED = {name: reported_points(table) for name, table in TABLES.items()}
KNOWS = {claim.text: claim for claim in TABLES["vq_table5"].claims}


def point(series="a", value=50.0, n=100, f="f", cut=""):
    return Point(series, "", None, "robust", value, value - 1, value + 1, n, f=f, cut=cut)


def judged(*points, known=None, **more):
    claim = Claim(text="", place="", check="above", bound=10, of={}, **more)
    return judge(claim, "own", {"own": points}, known)


def test_few_images_a_brittle_f_and_a_short_training_are_said():
    assert judged(point()).caveats == ()
    assert judged(point(n=8), point(n=29), point(n=30)).caveats == ("few images: n 8 to 29",)
    assert judged(replace(point(n=1), exact=True)).caveats == ()  # f's own weights are no sample's
    assert judged(replace(point(n=1), exact=True)).n is None
    known = {"f": "which is brittle"}
    assert judged(point(), known=known).caveats == ("rests on one f, which is brittle",)
    both = judged(point(), point(f="g"), known=known)
    assert both.caveats == ("partly rests on one f, which is brittle",)
    assert judged(point(f="g"), known=known).caveats == ()
    short = "f was trained for 1 of 200 epochs"
    assert judged(point(cut=short), point(cut=short)).caveats == (short,)
    assert judged(known=known).caveats == ()  # nothing was measured


def test_networks_that_were_trained_once_are_said():
    """Where two are compared, not where one stands behind two defenses."""
    claim = Claim(text="", place="", check="larger_everywhere", of={"series": "a"}, than={"series": "b"})

    def beside(ours, theirs):
        return judge(claim, "own", {"own": [ours, theirs]}).caveats

    a, b = (replace(point(series, f=series), trained=True) for series in "ab")
    assert beside(a, b) == ("1 of 1 compare networks trained once",)
    assert beside(replace(a, trainings=(1.0, 2.0)), b) == ("1 of 1 compare networks trained once",)
    assert beside(replace(a, trainings=(1.0, 2.0)), replace(b, trainings=(1.0, 3.0))) == ()
    assert beside(a, replace(b, f="a")) == ()
    assert beside(replace(a, trained=False), replace(b, trained=False)) == ()


def contrast(natural=0.096, target="vqexp.defenses.Contrast", **classifier):
    config = {
        "preset": {"standard": {"epochs": 200}},
        "defense": {"_target_": target, "low": 0.1, "high": 0.9},
    }
    metrics = {"natural_accuracy": estimate(natural), "undefended_natural_accuracy": estimate(0.996)}
    return record(config, classifier={"_target_": "f", **classifier}, metrics=metrics)


@pytest.mark.parametrize(
    ("classifier", "text"),
    [
        ({"checkpoint": "0123"}, ""),
        ({"training": {"epochs": 200}, "data": [None, 0, ""]}, ""),
        ({"training": {"epochs": 5}, "data": [None, 0, ""]}, "f was trained for 5 of 200 epochs"),
        (
            {"training": {"epochs": 1}, "data": [15000, 0, ""]},
            "f was trained for 1 of 200 epochs on 15000 images",
        ),
    ],
)
def test_a_training_that_is_cut_down(classifier, text):
    assert cut_down(contrast(**classifier)) == text


def test_brittle_is_an_f_that_loses_most_to_contrast_alone():
    bad, good = contrast(checkpoint="a"), contrast(0.6, checkpoint="b")
    found = brittle([bad, good])
    assert list(found) == [classifier_key(bad)]
    assert "10 % of clean images right in 0.1..0.9" in found[classifier_key(bad)]
    assert brittle([contrast(target="vqexp.defenses.PRD", checkpoint="c")]) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"check": "larger"}, "must be one of larger_everywhere, "),
        ({"check": "larger_everywhere"}, "'t' has no `than`"),
        ({"bound": None}, "'t' has no `bound`"),
        ({"our": True}, "a claim with our; a claim has text, place, "),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(change, message):
    claim = {"text": "t", "place": "p", "check": "above", "bound": 1, "of": {}}
    assert load_claims("table", [claim]) == [Claim(**claim)]
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_claims("table", [{**claim, **change}])


def test_every_check_has_a_rule():
    assert set(RULES) == set(CHECKS)


def test_a_claim_that_hangs_on_a_choice_of_ours_is_not_judged():
    found = judged(point(), hangs_on="the regularization")
    assert (found.word, found.told) == ("not judged", "held")
    assert found.beside == ("hangs on the regularization",)


@pytest.mark.parametrize("name", ["vq_figure8", "arxiv_figure6"])
def test_the_order_of_divergences_is_not_judged(name):
    (figure,) = [figure for figure in all_figures() if figure.name == name]
    words = {claim.text: judge(claim, name, {}).word for claim in figure.claims}
    assert words["at the smallest eps RandDisc has the lowest divergence"] == "not judged"
    assert words["at the largest eps pRD and swRD have a lower divergence than RandDisc"] == "not judged"
    assert words["the second term of the divergence's bound is negligible, about 1e-5"] == "not measured"


def test_who_knows_the_defense_is_reported_to_be_weaker():
    """Contradictions of the journal's Tables 2, 3 and 4 with Table 5."""
    ours = [claim for claim in TABLES["vq_table5"].claims if claim.check == "at_most_everywhere"]
    found = {claim.text: judge(claim, "vq_table5", REPORTED) for claim in ours}
    assert len(found) == 7
    assert {verdict.word for verdict in found.values()} == {"did not hold"}
    for numbers in (("27.41", "16.52"), ("17.58", "8.55"), ("49.21", "43.64"), ("67.12", "62.36")):
        assert any(all(number in verdict.worst for number in numbers) for verdict in found.values())


def test_the_words_of_section_7_3_hold_by_the_papers_own_numbers():
    for word, count in (("but slightly", 5), ("satisfactory", 3)):
        claims = [claim for text, claim in KNOWS.items() if word in text]
        assert len(claims) == count
        assert {judge(claim, "vq_table5", REPORTED).word for claim in claims} == {"held"}


def test_slightly_is_at_most_10_points():
    claim = next(claim for text, claim in KNOWS.items() if text.startswith("PGD that knows pRD"))
    own = {"series": "pRD (s=2, k=25)", "panel": "", "x": None}
    ignores = Point(**own, column="pgd", value=60, low=59, high=61, n=100)
    for value, word in ((58, "held"), (50.5, "undecided"), (30, "did not hold")):
        knows = Point(**own, column="ste_pgd", value=value, low=value - 1, high=value + 1, n=100)
        assert judge(claim, "vq_table5", {"vq_table5": [knows], "vq_table2": [ignores]}).word == word


def test_what_the_paper_ran_itself_is_not_quoted():
    for name, labels in (("arxiv_table1", ("Fast AdvT", "MART", "TRADES")), ("arxiv_table3", ("TRADES",))):
        lines = table_page(Entry(TABLES[name], [])).splitlines()
        for label in labels:
            own = [line for line in lines if line.startswith(f"| {label} |")]
            assert own
            assert all("| the paper's own run, not repeated here |" in line for line in own)
    others = table_page(Entry(read_table(CONF / "table" / "vq_table1.yaml"), [])).splitlines()
    assert all("| quoted |" in line for line in others if line.startswith("| A5/O |"))
