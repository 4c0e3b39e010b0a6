"""What leads the report: how much of each defense is left, and whether it is robust."""

import pytest
from records import estimate, record

from vqexp.reports.analysis.gather import Section
from vqexp.reports.render.kept import AuditPage
from vqexp.reports.render.lookup import Lookup
from vqexp.reports.render.material import Entry
from vqexp.reports.render.overview import (
    ANSWERS,
    NO_BREAK,
    NO_GAIN,
    NONE,
    NOT_ROBUST,
    PARTLY,
    PROVEN,
    UNDECIDED,
    UNPROVEN,
    WEAKENED,
    markdown,
    overview,
    spec,
    summary,
)
from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.table import all_tables

TABLES = {table.name: table for table in all_tables()}
TABLES |= {figure.name: figure.table for figure in all_figures() if figure.table}


def around(share):
    """An interval of two points."""
    return share - 0.01, share + 0.01


def cells(values=()):
    """All tables, with what was measured: (table, row, column) -> percent."""
    found = []
    for table in TABLES.values():
        metrics = {cell.place: cell.metric for cell in table.cells()}
        records = {
            place: record(metrics={metrics[place]: estimate(value / 100, ci95=around(value / 100))})
            for (name, *where), value in dict(values).items()
            if name == table.name and (place := tuple(where))
        }
        found.append(Entry(table, [Section(("f",), records, frozenset(records))] if records else []))
    return Lookup(found)


def head(**changes):
    settings = {"defense": "swRD", "settings": "s=3, k=25, init=random", "dataset": "cifar10", "eps": "8/255"}
    shares = {
        "natural": "73.12 (5.74)",
        "ignores": "53.12",
        "worst": "0.00 (0.00)",
        "interval": "[0.0, 10.7]",
    }
    return {**settings, **shares, "n": "32", "checks": "11 of 11", "verdict": "BROKEN", **changes}


def lines(*heads, values=()):
    named = {f"{each['dataset']}-{each['defense'].lower()}-{n}": each for n, each in enumerate(heads)}
    return overview(cells(values), {name: AuditPage(each, "", 42) for name, each in named.items()})


def test_every_cell_that_it_names_exists():
    for each in spec()["defenses"]:
        for kind in ("natural", "ignores", "knows", "certified", "without", "reported"):
            if (given := each.get(kind)) is None:
                continue
            for place in given if kind == "certified" else [given]:
                table, *where = place["cell"] if isinstance(place, dict) else place
                assert tuple(where) in {(c.row, c.column) for c in TABLES[table].cells()}, (table, where)
    assert set(spec()["order"]) >= {each["name"] for each in spec()["defenses"]}


def test_an_audit_gives_a_line_from_no_attack_to_what_is_reported():
    (line,) = lines(head())
    assert [(bar.kind, bar.value) for bar in line.bars] == [
        ("natural", pytest.approx(73.12)),
        ("ignores", pytest.approx(53.12)),
        ("knows", 0.0),
        ("reported", 68.42),
    ]
    assert line.bars[2].interval == pytest.approx((0.0, 10.7))
    assert line.bars[3].label == "reported, s=2, k=15"  # Table 5 has swRD with other settings
    assert line.on == "CIFAR-10, s=3, k=25, eps 8/255, n 32"
    # nothing is reported at another eps, or of another defense
    (other,) = lines(head(eps="4/255"))
    assert [bar.kind for bar in other.bars] == ["natural", "ignores", "knows"]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, NOT_ROBUST),
        ({"verdict": "WEAKENED"}, WEAKENED),
        ({"verdict": "NO BREAK FOUND"}, NO_BREAK),
        ({"verdict": "ATTACK TOO WEAK"}, UNDECIDED),
        ({"verdict": "INCOMPLETE (3 of 42 rows)"}, UNDECIDED),  # the interval reaches 10.7 %
        ({"verdict": "INCOMPLETE (3 of 42 rows)", "interval": "[0.0, 4.9]"}, NOT_ROBUST),
        ({"verdict": "INCOMPLETE (0 of 42 rows)", "worst": "", "interval": ""}, UNDECIDED),
    ],
)
def test_answers(changes, answer):
    (line,) = lines(head(**changes))
    assert line.answer == answer
    assert changes.get("verdict", "BROKEN") in line.because


@pytest.mark.parametrize(("without", "answer"), [(31.2, NO_GAIN), (20.0, NO_BREAK)])
def test_what_the_network_keeps_alone_is_no_gain(without, answer):
    ctrw = head(defense="CTRW", settings="std=trained", worst="33.44", interval="[23.1, 45.6]", ignores="")
    values = {
        ("ctrw_table1", "small ResNet, baseline", "autoattack"): without,
        ("ctrw_table1", "small ResNet, CTRW", "autoattack"): 50.9,
    }
    (line,) = lines({**ctrw, "verdict": "NO BREAK FOUND"}, values=values)
    assert line.answer == answer
    shown = {bar.kind: (bar.label, bar.value) for bar in line.bars}
    assert shown["ignores"] == ("attacker sees one draw", pytest.approx(50.9))
    assert shown["without"][1] == pytest.approx(without)
    assert shown["reported"] == ("reported, ResNet18", 73.56)


@pytest.mark.parametrize(("share", "answer"), [(0.5, UNPROVEN), (50.2, PARTLY), (65.0, PROVEN)])
def test_a_certificate_stands_for_a_defense_without_an_audit(share, answer):
    (line,) = lines(values={("stn_table1", "STN", "cifar10_certified"): share})
    assert (line.name, line.answer) == ("STN", answer)
    assert line.because == f"Proven for {share} % (eps 36/255) of the images; reported: 65.6 %; not audited"


def test_a_proof_at_a_smaller_radius_counts():
    near = ("stn_gap", "MNIST, certified (Rényi), radius=0.5", "accuracy")
    (line,) = lines(values={near: 87.3, ("stn_table1", "STN", "mnist_certified"): 0.0})
    assert line.answer == PARTLY
    assert [(bar.label, bar.value) for bar in line.bars if bar.kind == "certified"] == [
        ("proven, eps 0.5", pytest.approx(87.3)),
        ("proven, eps 1.58", 0.0),
    ]


def test_the_summary_names_every_defense_once():
    told = lines(
        head(defense="JPEG", settings="quality=75"), head(), head(dataset="mnist"), head(defense="pRD")
    )
    assert summary(told) == "**Not robust:** swRD (CIFAR-10), swRD (MNIST), pRD, JPEG."
    assert set(ANSWERS) >= {line.answer for line in told}
    text = "\n".join(markdown(told))
    assert text.count("| **swRD** |") == 2
    assert "| 0.0 [0.0, 10.7] |" in text
    assert summary([]) == NONE
    assert markdown([]) == [NONE]
