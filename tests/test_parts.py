"""Few words for many rows: what they choose is what was wanted."""

from hypothesis import given
from hypothesis import strategies as st

from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.parts import parts_for

WORDS = st.sampled_from(["RandDisc", "pRD", "pRD, both", "k=5", "k=50", "EOT", "eps=0.1"])
LABELS = st.lists(
    st.lists(WORDS, min_size=1, max_size=3).map(", ".join), min_size=1, max_size=12, unique=True
)


def chosen(parts, labels):
    """As `Table` reads them."""
    return {x for x in labels if any(x == part or (part not in labels and part in x) for part in parts)}


@given(LABELS, st.data())
def test_they_choose_the_wanted_rows_and_no_others(labels, data):
    wanted = data.draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))
    parts = parts_for(wanted, labels)
    assert chosen(parts, labels) == set(wanted)
    assert len(parts) <= len(wanted)


def test_a_series_or_a_value_is_one_part():
    labels = [f"swRD, {series}, steps={x}" for series in ("EOT", "known draw") for x in (1, 10, 100)]
    assert parts_for([label for label in labels if "EOT" in label], labels) == ["EOT"]
    assert parts_for([label for label in labels if label.endswith("=10")], labels) == [labels[1], labels[4]]
    assert parts_for([label for label in labels if label.endswith("=100")], labels) == ["steps=100"]
    assert parts_for(labels, labels) == ["swRD"]
    assert parts_for(labels[:1], labels) == labels[:1]  # a single row is named whole


def test_of_real_figures():
    for figure in all_figures()[:10]:
        for table in figure.tables:
            labels = [row["label"] for row in table.rows]
            for wanted in (labels[::2], labels[: len(labels) // 2 or 1]):
                assert chosen(parts_for(wanted, labels), labels) == set(wanted)
