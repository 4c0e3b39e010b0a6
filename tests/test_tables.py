"""The papers' tables and figures: their configs, the runs they stand for, and the checks of claims."""

import json
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from conftest import QUICK_F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from records import estimate, record

from vqexp.classifiers import robustbench
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.errors import ConfigError, MissingError
from vqexp.papers.vq.schematic import DISJOINT, OVERLAPPING, patch_corners
from vqexp.pipeline import prepare
from vqexp.reports.analysis.gather import figure_points, reported_points
from vqexp.reports.analysis.judge import judge
from vqexp.reports.analysis.points import Point
from vqexp.reports.render.terminal import print_preview
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.claims import CHECKS, Claim
from vqexp.reports.spec.figure import all_figures, figure_path, load_figure
from vqexp.reports.spec.fill import cell_key
from vqexp.reports.spec.made_for import made_for
from vqexp.reports.spec.settings import from_overrides, to_overrides
from vqexp.reports.spec.table import all_tables, load_table
from vqexp.reports.sweep.end import finish
from vqexp.reports.sweep.plan import make_plan
from vqexp.reports.sweep.smoke import smoke

register_resolvers()
FIGURES = {figure.name: figure for figure in all_figures()}
TABLES = {table.name: table for table in all_tables()}
ALL = {**TABLES, **{figure.table.name: figure.table for figure in FIGURES.values() if figure.table}}
PAPER = [name for name in ALL if name.startswith(("vq_table", "vq_figure", "arxiv", "stn"))]


def exists(override):
    """A choice of a group that is there; others come with later parts of the package."""
    group, _, choice = override.partition("=")
    return not (CONF / group).is_dir() or (CONF / group / f"{choice}.yaml").exists()


def composed(overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=overrides)


def cover(kinds, size):
    """Few of `kinds`, tuples of overrides: all sets of `size` in one kind, but for numbers, are in them."""
    plain = {key: {re.sub(r"=(.*\d.*|[^a-z].*)$", "=0", text) for text in key} for key in kinds}
    left = {key: set(combinations(sorted(texts), size)) for key, texts in plain.items()}
    chosen, seen = [], set()
    for key in sorted(left, key=lambda key: (-len(left[key]), key)):
        if left[key] - seen and all(exists(override) for override in key):
            chosen.append(key)
            seen |= left[key]
    return chosen


# configs


def test_all_tables_and_figures_of_the_papers_are_there():
    assert {f"vq_table{n}" for n in range(1, 6)} | {f"arxiv_table{n}" for n in range(1, 4)} <= set(TABLES)
    assert {"stn_table1"} | {f"ctrw_table{n}" for n in range(1, 8)} <= set(TABLES)
    journal = {"1", "2", "3", "4", "5", "6a", "6b", "7", "8", "9", "10", "B11"}
    quantizers = {f"vq_figure{n}" for n in journal} | {f"arxiv_figure{n}" for n in (1, 4, 5, 6, 7, 8)}
    others = (
        {f"stn_figure{n}" for n in range(1, 8)} | {"stn_gap"} | {f"ctrw_figure3{panel}" for panel in "abcd"}
    )
    assert quantizers | others <= set(FIGURES)


@pytest.mark.parametrize("name", ALL)
def test_every_cell_has_a_place_of_its_own_and_a_percentage(name):
    cells = ALL[name].cells(quoted=True)
    assert len({cell.place for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.reported is None or 1 <= len(cell.reported) <= 2
        least = -1 if "cosine" in cell.metric else 0
        assert all(least <= value <= 100 for value in cell.reported or [])


def test_reported_values_as_the_papers_print_them():
    """One line of each of the tables that no other test reads."""
    rows = {
        ("vq_table3", "swRD (s=3, k=35)"): [[60.63, 0.33], [50.67, 0.31], [53.78, 0.46]],
        ("vq_table4", "pRD (s=2, k=30)"): [[65.56, 0.98], [62.36, 0.97]],
        ("arxiv_table1", "swRD (s=2, k=2)"): [[98.8], [98.28], [97.56], [96.77], [96.76], [96.52], [95.59]],
        ("arxiv_table2", "pRD (s=2, k=20)"): [[73.65], [66.31], [61.17], [53.51], [37.78]],
        ("arxiv_table3", "swRD (s=4, k=8)"): [[91.45], [80.22], [67.91], [48.02], [25.84]],
    }
    for (name, label), values in rows.items():
        assert [cell.reported for cell in TABLES[name].cells() if cell.row == label] == values
    cells = {cell.place: cell.reported for cell in TABLES["vq_table5"].cells()}
    assert cells["CIFAR-100, swRD (s=2, k=20)", "eot_pgd"] == [49.05, 0.13]
    # the paper has one EOT column; both readings of its formula stand beside it
    assert cells["pRD (s=2, k=25)", "eot_output_pgd"] == cells["pRD (s=2, k=25)", "eot_pgd"] == [62.51, 0.08]


def test_every_cell_composes_as_it_is():
    """Every pair of a choice and a setting that a cell has is in one of those composed here."""
    cells = {tuple(to_overrides(cell.settings)): cell for name in PAPER for cell in ALL[name].cells()}
    for key in cover(cells, 2):
        config = resolved(composed([*cells[key].overrides(), "scale=paper"]))
        assert made_for(config["cell"]) == cells[key].made_for
        assert f"dataset={config['dataset']['name']}" in key


def test_every_cell_is_good_at_smoke_scale(tmp_path):
    """Every override is in one of those prepared here; those above are composed in pairs."""
    jobs = {tuple(to_overrides(smoke(cell.settings))) for name in PAPER for cell in ALL[name].cells()}
    for job in cover(jobs, 1):
        prepare(composed([*job, "scale=smoke", f"store.root={tmp_path}"]), check_store=False)


def test_smoke_keeps_what_a_cell_is_about():
    kept = "training=quantized defense=swrd defense.sigma=4 adversary=eot adversary.average=output"
    kept += " attack=pgd metric=certified"
    replaced = "dataset=imagenet dataset.size=224 classifier=robustbench classifier.name=A defense.s=3"
    replaced += " training@adversary.training=pgd_at"
    replaced += " defense.k=70 attack.eps=0.1 attack.batch_size=32 metric.draws=1000"
    found = smoke(from_overrides([*replaced.split(), *kept.split()]))
    assert found == from_overrides([*kept.split(), "dataset=digits", "classifier=small_cnn"])


def test_smoke_measures_at_the_radii_that_cells_show():
    shown = [
        (cell, float(found[1]))
        for table in ALL.values()
        for cell in table.cells()
        if (found := re.search(r"_at_([0-9.]+)", cell.metric))
    ]
    assert shown
    for cell, radius in shown:
        assert radius == pytest.approx(
            min(smoke(cell.settings)["metric.radii"], key=lambda r: abs(r - radius)), rel=1e-5
        )


def test_pictures_of_the_same_attack_share_its_cells():
    """What is certified and what attacks leave is drawn from the cells of Figures 1, 6 and 7."""
    shared = {
        ("MNIST", "certified (Rényi)"): "stn_figure1",
        ("CIFAR-10", "certified (Rényi)"): "stn_figure1",
        ("MNIST", "the paper's attack"): "stn_figure6",
        ("CIFAR-10", "the paper's attack"): "stn_figure7",
    }
    keys = {
        name: {(cell_key(cell.settings, "cpu"), cell.metric, cell.x) for cell in ALL[name].cells()}
        for name in set(shared.values())
    }
    found = [cell for cell in ALL["stn_gap"].cells() if (cell.panel, cell.series) in shared]
    assert len(found) == 2 * (4 + 3)
    for cell in found:
        other = keys[shared[cell.panel, cell.series]]
        assert (cell_key(cell.settings, "cpu"), cell.metric, cell.x) in other


def test_the_additive_noise_papers_attack():
    """Its step sizes, in both norms, at an eps of 2 and of 8/255."""
    for overrides, expected in (
        (["attack.norm=l2", "attack.eps=2"], ("margin", 50, 0.25)),
        (["attack.eps=8/255"], ("ce", None, pytest.approx(0.8 / 255))),
    ):
        where = ["dataset=cifar10", "preset=stn/cifar10", "attack=pgd_stn", "scale=cpu"]
        attack = resolved(composed([*where, *overrides]))["attack"]
        assert (attack["loss"], attack["confidence"], attack["step_size"]) == expected
        assert (attack["steps"], attack["random_start"], attack["restarts"]) == (20, False, 1)


# plans


@pytest.mark.parametrize(
    ("table", "own"),
    [
        (TABLES["vq_table2"], ("classifier", "robustbench")),
        (FIGURES["arxiv_figure8"].table, ("training", "quantized")),
    ],
)
def test_a_row_with_a_classifier_of_its_own_keeps_it(table, own):
    plan = make_plan([table], ["classifier.checkpoint=F", "scale=cpu"], smoke_test=False)
    kept = {own in cell.settings.items() for _, cell, _ in plan.places}
    assert kept == {True, False}
    for _, cell, job in plan.places:
        assert ("classifier.checkpoint=F" in plan.jobs[job]) != (own in cell.settings.items())
        assert "scale=cpu" in plan.jobs[job]


def test_a_plan_without_some_jobs_keeps_the_others_cells():
    plan = make_plan([TABLES["vq_table1"]], [], smoke_test=False)
    left = plan.without({0, 2})
    assert left.jobs == [job for number, job in enumerate(plan.jobs) if number not in (0, 2)]
    for table, cell, job in left.places:
        assert (table, cell) in [(t, c) for t, c, _ in plan.places]
        assert left.jobs[job] == cell.overrides()


def test_a_figure_of_other_figures_runs_their_cells():
    names = {table.name for table in FIGURES["vq_figure9"].tables}
    assert names == {"vq_figure4", "vq_figure5"}


def test_a_tables_rows_may_be_panels_and_series():
    """Every pair is one; a panel's rows lack its `without`."""
    f = {"name": "t", "title": "", "source": "", "common": [], "columns": {c: {"metric": c} for c in "ab"}}
    panels = [{"label": "p", "overrides": ["dataset=mnist"]}, {"label": "q", "without": ["b"]}]
    series = [{"label": "x", "overrides": ["defense=prd"]}, {"label": "y"}]
    table = load_table({**f, "panels": panels, "series": series})
    cells = {cell.place: cell for cell in table.cells()}
    assert set(cells) == {
        ("p, x", "a"),
        ("p, y", "a"),
        ("q, x", "a"),
        ("q, y", "a"),
        ("p, x", "b"),
        ("p, y", "b"),
    }
    cell = cells["p, x", "b"]
    assert (cell.panel, cell.series, cell.settings) == ("p", "x", {"dataset": "mnist", "defense": "prd"})
    with pytest.raises(ConfigError, match="has rows, panels and series"):
        load_table({**f, "panels": panels, "series": series, "rows": [{"label": "r"}]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "bars"}, "lines, tradeoff, pictures, schematic"),
        ({"kind": "lines"}, "nothing to draw"),
        ({"kind": "schematic", "reported": {"a": {}}}, "rows that do not exist: a"),
        ({"kind": "schematic"}, "a schematic needs a `drawing`"),
        ({"kind": "lines", "drawing": {"_target_": "a.draw"}}, "and nothing else has one"),
    ],
)
def test_a_wrong_figure_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_figure({"name": "a", "title": "A", "source": "", **settings})


FIGURE_4 = read_settings(figure_path("vq_figure4"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only_rows": "swRD"}, "figure.only_rows is 'swRD'; it must be a list of texts"),
        ({"only_rows": [1]}, "figure.only_rows is [1]; it must be a list of texts"),
        ({"only_rows": ["Nope"]}, "figure.only_rows has 'Nope', a part of none of: CIFAR-10"),
        ({"only_columns": ["Nope"]}, "figure.only_columns is 'Nope'; it must be one of natural, robust"),
        ({"panels": 3}, "figure.panels is 3; it must be a list of mappings"),
        ({"panels": [{"label": 1}]}, "it must be a mapping with a text `label`"),
        (
            {"columns": {"natural": 3}},
            "figure.columns.natural is 3; it must be a mapping with a text `metric`",
        ),
        ({"x": {**FIGURE_4["x"], "overrides": None}}, "it must have a text `name` and a list `overrides`"),
        ({"x": 3}, "figure.x is 3; it must be a mapping"),
        ({"series": []}, "figure.rows is empty"),
        ({"common": "adversary=ste"}, "figure.common is 'adversary=ste'; it must be a list of texts"),
        ({"colour": "red"}, "figure.colour is no setting of a figure; it has name, title"),
    ],
)
def test_settings_of_the_wrong_shape_are_refused(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_figure({**FIGURE_4, **settings})


def test_a_figure_of_others_has_no_cells_to_choose_from():
    with pytest.raises(ConfigError, match="choose among those of figure=vq_figure4, figure=vq_figure5"):
        load_figure({**read_settings(figure_path("vq_figure9")), "only_rows": ["swRD"]})


def test_a_table_takes_no_sweep(vqexp):
    status, _, err = vqexp("-m", "table=vq_table1", "defense.k=4,8", "dry_run=true")
    assert status == 2
    assert err == "vqexp: defense.k=4,8 is a sweep; every cell of a table or figure takes one value of it\n"


@pytest.mark.parametrize(
    ("table", "choice"),
    [
        ("table=vq_table2", "defense=prd"),
        ("figure=vq_figure4", "attack=pgd"),
        ("table=audit", "adversary=eot"),
        ("table=calibration", "defense=prd"),
    ],
)
def test_a_choice_that_would_make_labels_untrue_is_refused(vqexp, table, choice):
    status, _, err = vqexp("-m", table, choice, "scale=smoke")
    assert status == 2
    assert err.startswith(f"vqexp: {choice.partition('=')[0]} is what tells rows or columns apart (")


def test_a_choice_that_is_the_only_row_s_own_is_taken(vqexp):
    only = ("table.only_rows=[pRD]", "dry_run=true", "scale=smoke")
    assert vqexp("-m", "table=vq_table1", "defense=prd", *only)[0] == 0


def test_one_table_or_figure_at_a_time_and_dry_run_is_a_flag(vqexp):
    status, _, err = vqexp("-m", "table=vq_table1", "figure=vq_figure4")
    assert (status, err) == (
        2,
        "vqexp: table= and figure= are both given; it must be one of them at a time\n",
    )
    status, _, err = vqexp("-m", "table=vq_table1,vq_table2")
    assert (status, err) == (2, "vqexp: table= takes one table at a time\n")
    for many in ((), ("-m", "table=vq_table1")):
        status, _, err = vqexp(*many, "dry_run=no")
        assert (status, err) == (2, "vqexp: dry_run is 'no'; it must be true or false\n")


def test_a_preview_says_what_is_not_run(capsys):
    table = TABLES["arxiv_table3"]
    print_preview(table, {cell.place: ("missing", "") for cell in table.cells()})
    lines = capsys.readouterr().out.splitlines()
    own = [line for line in lines if "TRADES" in line]
    assert own
    assert all("the paper's own run, not repeated here" in line for line in own)
    assert f"0 of {len(table.cells())} cells cached" in lines


# claims


def point(series, x, value, column="robust", half=1.0, panel="A", n=100):
    return Point(series, panel, x, column, value, value - half, value + half, n)


def verdict(check, points, of, than=None, **more):
    claim = Claim(text="t", place="p", check=check, of=of, than=than, **more)
    return judge(claim, "own", {"own": points})


LOW, HIGH = [point("low", x, x) for x in (1, 2, 3)], [point("high", x, 10 + x) for x in (1, 2, 3)]
CROSSED = [*LOW[:2], point("low", 3, 50.0), *HIGH]


@pytest.mark.parametrize(
    ("check", "points", "of", "than", "held", "good"),
    [
        ("larger_everywhere", LOW + HIGH, {"series": "high"}, {"series": "low"}, True, 3),
        ("larger_everywhere", CROSSED, {"series": "high"}, {"series": "low"}, False, 2),
        ("smaller_everywhere", LOW + HIGH, {"series": "low"}, {"series": "high"}, True, 3),
        ("smaller_everywhere", CROSSED, {"series": "low"}, {"series": "high"}, False, 2),
        ("larger_almost_everywhere", CROSSED, {"series": "high"}, {"series": "low"}, False, 2),
        ("at_least_everywhere", LOW + HIGH, {"series": "high"}, {"series": "low"}, True, 3),
        ("at_least_everywhere", [*LOW, point("same", 1, 1)], {"series": "low"}, {"series": "same"}, True, 1),
        ("at_most_everywhere", [*LOW, point("same", 1, 1)], {"series": "low"}, {"series": "same"}, True, 1),
        ("at_most_everywhere", LOW + HIGH, {"series": "high"}, {"series": "low"}, False, 0),
        ("larger_somewhere", HIGH + LOW, {"series": "high"}, {"series": "low"}, True, 3),
        ("larger_somewhere", LOW, {}, {"x": 3}, False, 0),
        ("different", LOW + HIGH, {"series": "low"}, {"series": "high"}, True, 3),
        ("different", [*LOW, point("same", 1, 1)], {"series": "low"}, {"series": "same"}, False, 0),
        ("alike", LOW + HIGH, {"series": "low"}, {"series": "high"}, False, 0),
        ("alike", LOW, {"x": 1}, {"x": 2}, True, 1),
        ("increasing", CROSSED, {"series": "low"}, None, True, 3),
        ("decreasing", CROSSED, {"series": "low"}, None, False, 1),  # 1, 2, 50, and up at the end
        ("rises", CROSSED, {"series": "low"}, None, True, 1),
        ("falls", CROSSED, {"series": "low"}, None, False, 0),
        ("does_not_fall", LOW, {}, None, True, 1),
        ("does_not_fall", [point("a", 1, 5), point("a", 2, 5)], {}, None, True, 1),
        ("does_not_fall", [point("a", 1, 9), point("a", 2, 5)], {}, None, False, 0),
        ("larger_everywhere", [], {"series": "high"}, {"series": "low"}, None, 0),
    ],
)
def test_checks(check, points, of, than, held, good):
    found = verdict(check, points, of, than)
    assert (found.held, found.good) == (held, good)


def test_a_claim_that_only_differences_within_the_intervals_decide_is_undecided():
    of, than = {"series": "high"}, {"series": "low"}
    for x_2, word in ((2.1, "held"), (1.9, "undecided"), (-1.9, "undecided"), (-2.1, "did not hold")):
        points = [*LOW, *(point("high", x, x + x_2 if x == 2 else 10 + x) for x in (1, 2, 3))]
        assert verdict("larger_everywhere", points, of, than).word == word
        assert verdict("smaller_everywhere", points, than, of).word == word
        # of 3 comparisons, "almost all" are all
        assert verdict("larger_almost_everywhere", points, of, than).word == word
    assert verdict("larger_everywhere", LOW + HIGH, of, than, by=7.9).word == "held"
    assert verdict("larger_everywhere", LOW + HIGH, of, than, by=9.9).word == "undecided"
    assert verdict("larger_everywhere", LOW + HIGH, of, than, by=11.9).word == "undecided"
    assert verdict("larger_everywhere", LOW + HIGH, of, than, by=12.1).word == "did not hold"
    for end, word in ((2.9, "held"), (4.9, "undecided"), (6.9, "undecided"), (7.1, "did not hold")):
        assert verdict("falls", [point("a", 1, 5), point("a", 2, end)], {}).word == word
    for value, word in ((3.4, "held"), (4.4, "undecided"), (5.4, "undecided"), (5.6, "did not hold")):
        assert verdict("below", [point("a", 1, value)], {}, bound=4.5).word == word
    exact = [point("a", 1, 5, half=0), point("b", 1, 5, half=0)]  # as papers report
    assert verdict("larger_everywhere", exact, {"series": "a"}, {"series": "b"}).word == "did not hold"
    assert verdict("larger_somewhere", LOW, {}, {"x": 2}).word == "undecided"


def test_equality_does_where_a_claim_says_at_least():
    of, than = {"series": "a"}, {"series": "b"}
    for b, word in ((5, "held"), (4, "held"), (6.9, "undecided"), (7.1, "did not hold")):
        points = [point("a", 1, 5), point("b", 1, b)]
        assert verdict("at_least_everywhere", points, of, than).word == word
        assert verdict("at_most_everywhere", points, than, of).word == word
        line = [point("a", 1, b), point("a", 2, 5)]
        assert verdict("does_not_fall", line, {}).word == word


def test_a_trend_is_one_of_the_ends_too():
    """Small steps, each within the intervals, may add up to a clear trend the other way."""

    def line(values):
        return [point("a", x, value) for x, value in enumerate(values)]

    assert verdict("increasing", line([60, 58.5, 57, 55.5]), {}).word == "did not hold"
    assert verdict("increasing", line([60, 59.9, 60.1]), {}).word == "undecided"
    assert verdict("increasing", line([60, 61, 62.9]), {}).word == "held"
    assert verdict("increasing", line([60, 66, 63.9, 66]), {}).word == "did not hold"
    assert verdict("decreasing", line([60, 61, 57]), {}).word == "held"


def test_a_claim_tells_how_many_comparisons_are_clear():
    points = [*LOW, *(point("high", x, x + (10 if x == 1 else 1)) for x in (1, 2, 3))]
    assert (
        verdict("larger_everywhere", points, {"series": "high"}, {"series": "low"}).counts
        == "3 of 3, 1 clear"
    )
    assert verdict("larger_everywhere", LOW + HIGH, {"series": "high"}, {"series": "low"}).counts == "3 of 3"
    assert verdict("larger_everywhere", [], {"series": "high"}, {"series": "low"}).counts == ""


def test_bounds_and_differences_of_columns():
    points = [
        point("a", 1, 90, "natural"),
        point("a", 1, 60),
        point("b", 1, 80, "natural"),
        point("b", 1, 70),
    ]
    gap = {"column": "natural - robust"}
    assert verdict("below", points, gap, bound=32.5).held
    assert not verdict("above", points, gap, bound=10).held
    assert verdict("smaller_everywhere", points, {"series": "b", **gap}, {"series": "a"}).held
    assert verdict("larger_everywhere", points, {"series": "a", **gap}, {"series": "b"}, by=15.5).held
    assert not verdict("larger_everywhere", points, {"series": "a", **gap}, {"series": "b"}, by=16.5).held


def test_a_claim_names_the_worst_comparison_and_how_many_images():
    points = [*LOW[:2], point("low", 3, 50.0, n=7), *HIGH]
    found = verdict("larger_everywhere", points, {"series": "high"}, {"series": "low"})
    assert found.worst.startswith("A, robust, x=3: high 13 against low 50")
    assert found.n == (7, 100)


def test_points_of_another_table_and_of_the_last_x():
    points = {"own": LOW, "other": HIGH}
    claim = Claim(text="", place="", check="larger_everywhere", of={"x": "max"})
    than = {"table": "other", "series": "high"}
    assert judge(replace(claim, than=than), "own", points).total == 1
    assert judge(replace(claim, than={**than, "x": "min"}), "own", points).held is False


def test_every_claim_is_well_formed():
    """Its check exists, and what it selects is there."""
    claims = [(name, claim) for name, table in TABLES.items() for claim in table.claims]
    claims += [(name, claim) for name, figure in FIGURES.items() for claim in figure.claims]
    papers = {name for name in FIGURES if "_figure" in name and FIGURES[name].kind != "schematic"}
    assert papers <= {name for name, _ in claims}
    points = {
        name: [Point(c.series, c.panel, c.x, c.column, 1, 1, 1, 1) for c in table.cells(quoted=True)]
        for name, table in ALL.items()
    }
    points |= {name: figure_points(figure, points) for name, figure in FIGURES.items()}
    for name, claim in claims:
        assert claim.check in CHECKS
        found = judge(claim, name, points)
        assert found.total > 0 or claim.check == "larger_somewhere", (name, claim.text)


def test_what_the_papers_say_against_their_own_numbers():
    points = {name: reported_points(table) for name, table in ALL.items()}
    points |= {name: figure_points(figure, points) for name, figure in FIGURES.items()}
    claims = [(name, claim) for name, table in TABLES.items() for claim in table.claims]
    claims += [(name, claim) for name, figure in FIGURES.items() for claim in figure.claims]
    broken = {(name, claim.text) for name, claim in claims if judge(claim, name, points).held is False}
    assert {
        ("vq_table5", "PGD that knows RandDisc (STE) is at least as strong as PGD that ignores it"),
        (
            "vq_table5",
            "AutoAttack that knows RandDisc (STE) is at least as strong as AutoAttack that ignores it",
        ),
        ("vq_table5", "AutoAttack that knows pRD (STE) is at least as strong as AutoAttack that ignores it"),
        ("vq_table3", "BS and SCORE are two defenses, with two rows of results"),
        ("vq_table1", "on MNIST, swRD is more robust than every other defense"),
        ("vq_table2", "on CIFAR-10, pRD does not become less robust as k grows"),
    } <= broken
    assert any(name == "arxiv_figure8" and "39.65" in text for name, text in broken)
    assert ("vq_table2", "on CIFAR-10, swRD is more robust than every other defense") not in broken


# drawings


def test_schematics_show_the_patches_that_the_code_cuts():
    assert sorted(patch_corners(DISJOINT, 8)) == [(r, c) for r in range(0, 8, 2) for c in range(0, 8, 2)]
    assert sorted(patch_corners(OVERLAPPING, 8)) == [(r, c) for r in range(7) for c in range(7)]


# the command line


def test_a_figure_at_smoke_scale(vqexp, tmp_path):
    store = tmp_path / "store"
    command = ["-m", "figure=vq_figure4", "figure.only_rows=[swRD, pRD]", "scale=smoke", *QUICK_F]
    status, out, _ = vqexp(*command, "dry_run=true")
    assert status == 0
    assert "0 of 68 cells cached" in out
    assert [path.name for path in store.iterdir()] == ["pace"]  # how fast this machine is
    status, out, err = vqexp(*command)
    assert (status, err) == (0, "")
    records = [json.loads(path.read_text()) for path in (store / "records").glob("*.json")]
    assert len(records) == 4  # 68 cells, two defenses and two metrics
    assert all(record["smoke"] for record in records)
    assert {record["config"]["attack"]["_target_"] for record in records} == {
        "vqexp.attacks.AutoAttack",
        "vqexp.attacks.NoAttack",
    }
    assert all("figure" not in record["config"] for record in records)
    for ending in ("pdf", "png"):
        assert (store / "figures" / "smoke" / f"vq_figure4.{ending}").stat().st_size > 1000
    assert "68 of 68 cells cached" in vqexp(*command, "dry_run=true")[1]


@pytest.mark.skipif(not exists("metric=denoising"), reason="needs metric=denoising")
def test_a_figure_of_pictures_at_smoke_scale(vqexp, tmp_path):
    status, out, err = vqexp("-m", "figure=arxiv_figure1", "scale=smoke", *QUICK_F)
    assert (status, err) == (0, "")
    assert "swRD" in out
    assert " dB" in out
    for ending in ("pdf", "png"):
        assert (tmp_path / "store/figures/smoke" / f"arxiv_figure1.{ending}").stat().st_size > 1000


@pytest.mark.parametrize(("chosen", "folder"), [(None, ""), (["RandDisc"], "part")])
def test_a_part_of_a_figure_is_not_drawn_in_the_place_of_the_whole(tmp_path, chosen, folder):
    settings = read_settings(figure_path("arxiv_figure4"))
    figure = load_figure({**settings, "only_rows": chosen, "only_columns": None})
    path = tmp_path / "record.json"
    metrics = dict.fromkeys(("natural_accuracy", "robust_accuracy"), estimate())
    path.write_text(json.dumps(record(metrics=metrics).plain()))
    places = [(table, cell, str(path)) for table in figure.tables for cell in table.cells()]
    finish(figure.tables, figure, places, tmp_path, smoke=False)
    drawn = {path.relative_to(tmp_path / "figures") for path in tmp_path.rglob("*.png")}
    assert drawn == {Path(folder) / "arxiv_figure4.png"}


def test_cells_whose_weights_are_missing_are_left_out(vqexp, monkeypatch, tmp_path):
    monkeypatch.setenv("VQEXP_ZOO", str(tmp_path))
    zoo = "'classifier=robustbench','classifier.name=Zhang2019Theoretically','classifier.dataset=cifar10'"
    rows = f"{{label:zoo,overrides:[{zoo},'defense=none']}},{{label:here,overrides:['defense=none']}}"
    small = ["training.epochs=1", "dataset.n=4", "metric.runs=1", "scale=cpu", "table.claims=[]"]
    command = ["-m", "table=vq_table2", "table.common=[]", "table.only_columns=[natural]", *small]
    command.append(f"table.rows=[{rows}]")
    status, out, err = vqexp(*command)
    assert (status, err) == (0, "")
    assert re.search(r"left out \(cells: 1\): .*(zoo|Zhang2019Theoretically)", out)
    assert "│ here" in out
    assert "│ zoo" not in out
    status, _, err = vqexp(*command, "table.only_rows=[zoo]")
    assert status == 2
    assert len(err.splitlines()) == 1


def test_a_table_needs_a_sweep(vqexp, tmp_path):
    status, _, err = vqexp("table=vq_table1")
    assert status == 2
    assert "add -m" in err
    assert not (tmp_path / "store").exists()


def test_the_zoo_says_what_is_missing():
    with pytest.raises(ConfigError, match="cifar10, cifar100, imagenet, not for digits"):
        robustbench((1, 8, 8), 10, name="A", dataset="digits")
    with pytest.raises(MissingError, match=r"zoo|has no cifar10|are not at"):
        robustbench((3, 32, 32), 10, name="Zhang2019Theoretically", dataset="cifar10", root="/nonexistent")


def test_a_config_keeps_its_record_key_beside_tables(vqexp, tmp_path):
    """Settings of sweeps do not enter the key of a run."""
    from vqexp.pipeline.write import settings_that_matter

    config = resolved(composed(["scale=smoke"]))
    assert not {"table", "figure", "dry_run", "store"} & set(settings_that_matter(config))
    assert OmegaConf.create(config).dry_run is False


def test_every_scale_sets_what_configs_ask_of_it():
    asked = {
        name
        for path in CONF.rglob("*.yaml")
        for name in re.findall(r"\$\{scale\.(\w+)", path.read_text())
        if path.parent.name != "scale"
    }
    for path in (CONF / "scale").glob("*.yaml"):
        assert asked <= set(read_settings(path)), path.stem
