"""How figures are drawn: one color a defense, few lines a panel, what is reported beside what is measured."""

import pytest

from vqexp.core.plot import COLORS, shades
from vqexp.reports.analysis.borrowed import borrowed_points, reported_cells
from vqexp.reports.analysis.names import column_title, paper_of
from vqexp.reports.analysis.points import Point
from vqexp.reports.render import plot
from vqexp.reports.render.colors import NONE, color_of, series_colors
from vqexp.reports.render.plot import MOST, panel_groups
from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.table import all_tables

FIGURES = {figure.name: figure for figure in all_figures()}


def point(series, column="robust", panel="", defense="none", n=100, value=50.0):
    return Point(series, panel, 1.0, column, value, value, value, n, defense=defense)


def test_a_defense_has_one_color_and_its_variants_are_shades():
    points = [point("pRD s=2", defense="prd"), point("pRD s=4", defense="prd"), point("swRD", defense="swrd")]
    colors = series_colors(
        [*points, point("f alone"), point("both", "natural", defense="prd"), point("both")]
    )
    assert colors["swRD"] == color_of("swRD") == COLORS[2]
    assert colors["f alone"] != colors["both"]
    assert len(set(colors.values())) == len(colors)
    assert shades(COLORS[1], 1) == [COLORS[1]]
    assert color_of("additive_noise") == color_of("AdditiveNoise") == COLORS[3]
    assert color_of("own") == NONE


def lines(points, columns, series):
    return len({(p.series, p.column, p.n > 0) for p in points if p.column in columns and p.series in series})


@pytest.mark.parametrize(
    ("name", "series", "rows"),
    [
        ("vq_figure4", 3, [2]),  # six lines share a panel
        ("vq_figure4", 4, [1, 1]),
        ("vq_figure4", 7, [1, 1, 1, 1]),  # of seven, six and one
    ],
)
def test_a_panel_has_few_lines(name, series, rows):
    figure = FIGURES[name]
    points = [point(str(number), column) for number in range(series) for column in figure.shows]
    groups = panel_groups(figure, points, [])
    assert [len(columns) for columns, _ in groups] == rows
    assert all(lines(points, *group) <= MOST for group in groups)
    shown = [(column, name) for columns, names in groups for column in columns for name in names]
    assert sorted(shown) == sorted((p.column, p.series) for p in points)
    # reported lines count
    printed = [point("0", "robust", n=0), point("0", "natural", n=0)]
    assert all(lines([*points, *printed], *g) <= MOST for g in panel_groups(figure, points, printed))


def test_a_figure_shows_what_the_papers_tables_report_of_its_cells():
    known = reported_cells(all_tables())
    points = borrowed_points(FIGURES["vq_figure4"].table, known)
    found = {(p.series, p.x, p.column): p.value for p in points if p.panel == "CIFAR-10"}
    assert found["pRD", 25, "robust"] == 60.43  # Table 2
    assert found["RandDisc", 25, "natural"] == 89.58
    assert ("pRD", 10, "robust") not in found
    # no table has these attacks
    assert not [p for p in borrowed_points(FIGURES["stn_figure4"].table, known)]


def test_every_axis_has_a_unit():
    for figure in FIGURES.values():
        if figure.kind == "lines" and figure.table:
            panels = {cell.panel for cell in figure.table.cells()}
            assert all(figure.x_label_of(panel) for panel in panels), figure.name
            if figure.x_label.startswith("eps"):
                assert all(
                    any(unit in figure.x_label_of(panel) for unit in ("255ths", "[0, 1]")) for panel in panels
                )


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("eot_autoattack", "EOT AutoAttack"),
        ("pgd10", "PGD-10"),
        ("eps_0.32", "eps 0.32"),
        ("natural - robust", "natural - robust"),
        ("psnr - psnr attacked", "PSNR - PSNR attacked"),
    ],
)
def test_names_for_readers(key, title):
    assert column_title(key) == title


def test_the_paper_of_a_source():
    sources = ("journal Table 2", "Ma et al. 2023, Table 1", "Li et al. 2019, section 6.1 (100 draws)")
    assert [paper_of(source) for source in sources] == ["journal", "Ma et al. 2023", "Li et al. 2019"]


def test_labels_of_neighbors_do_not_overlap(monkeypatch, tmp_path):
    """A long label below a panel is broken into lines."""
    figure, canvases = FIGURES["ctrw_figure3a"], []
    monkeypatch.setattr(plot, "save", lambda canvas, stem: canvases.append(canvas) or [])
    shown = [point("CTRW", figure.shows[0], panel) for panel in ("one", "two")]
    plot.plot(figure, shown, tmp_path)
    canvases[0].draw_without_rendering()
    left, right = (axis.xaxis.label.get_window_extent() for axis in canvases[0].axes)
    assert "\n" in canvases[0].axes[0].get_xlabel()
    assert left.x1 < right.x0
