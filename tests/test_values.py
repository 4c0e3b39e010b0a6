"""A figure's numbers in the report: every cell once, and a command for what is missing."""

import json
import shlex

import pytest
from conftest import section
from records import estimate, record

from vqexp import results
from vqexp.reports.analysis.values import command_of_missing, grids, images
from vqexp.reports.render.report import write
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.figure import all_figures, figure_path, load_figure

FIGURES = {figure.name: figure for figure in all_figures() if figure.table}


def place(cell):
    return cell.row, cell.column


@pytest.mark.parametrize("name", FIGURES)
def test_every_cell_has_one_place_under_its_x(name):
    table = FIGURES[name].table
    cells = [cell for grid in grids(table) for cell in grid.cells]
    assert sorted(map(place, cells)) == sorted(map(place, table.cells()))
    for grid in grids(table):
        for _, row in grid.rows:
            assert len(row) == len(grid.columns)
            for heading, cell in zip(grid.columns, row, strict=True):
                assert cell is None or heading == cell.column or cell.row.endswith(f", {heading}")


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize("name", FIGURES)
def test_the_command_chooses_what_is_missing(name, every):
    """Each grid without records, without every second, without every seventh."""
    table = FIGURES[name].table
    for grid in grids(table):
        missing = {place(cell) for cell in grid.cells[::every]}
        records = {place(cell): {} for cell in grid.cells if place(cell) not in missing}
        words = shlex.split(command_of_missing(table, grid, records, "scale=cpu"))
        assert words[:4] == ["python", "run.py", "-m", f"figure={name}"]
        assert words[-1] == "scale=cpu"
        only = {word.split("=", 1)[0][7:]: json.loads(word.split("=", 1)[1]) for word in words[4:-1]}
        chosen = {
            place(cell) for cell in load_figure({**read_settings(figure_path(name)), **only}).table.cells()
        }
        rows, columns = {row for row, _ in missing}, {column for _, column in missing}
        assert missing <= chosen
        assert {row for row, _ in chosen} == rows
        assert {column for _, column in chosen} == columns
        assert command_of_missing(table, grid, {place(cell): {} for cell in grid.cells}, "") == ""


def test_how_many_images():
    (grid,) = grids(FIGURES["arxiv_figure1"].table)
    first, second = grid.cells[:2]
    assert images(grid, {}) == ""
    records = {place(first): record(metrics={first.metric: estimate(n=500, runs=3)})}
    assert images(grid, records) == "n 500, runs 3"
    records[place(second)] = record(metrics={second.metric: estimate(n=456, runs=3)})
    assert images(grid, records) == "n 456 to 500, runs 3"


def test_the_report_has_the_numbers_of_a_figure(vqexp, tmp_path, small_cifar10, undrawn):
    part = ('figure.only_rows=["CIFAR-10, swRD"]', "figure.only_columns=[psnr, psnr attacked]")
    command = ("-m", "figure=arxiv_figure1", *small_cifar10, *part)
    status, _, err = vqexp(*command, "scale=cpu", "dataset.n=16", "metric.runs=2")
    assert (status, err) == (0, "")
    write(tmp_path / "store", tmp_path / "results")
    records = {r.reported.column: r.metrics for r in results.records(tmp_path / "store")}
    page = (tmp_path / "results" / "README.md").read_text()
    own = section(page, "arxiv_figure1")
    (line,) = [line for line in own if line.startswith("| CIFAR-10, swRD | ")]
    psnr, ssim, attacked, _, removed = [text.strip() for text in line.split("|")[2:-1]]
    assert psnr.startswith(f"{records['psnr']['psnr_defended'].mean:.4g} (")
    assert psnr.endswith("]")
    assert attacked.startswith(f"{records['psnr']['psnr_undefended'].mean:.4g} dB [")
    # of the same run as psnr
    assert removed.startswith(f"{100 * records['psnr']['removed'].mean:.2f} (")
    assert ssim.startswith(f"{records['psnr']['ssim_defended'].mean:.4g} (")
    shown = (tmp_path / "results" / "index.html").read_text()
    assert f"<td>{psnr.split(' [')[0]}<span" in shown
    told = next(
        line for line in page.splitlines() if line.startswith("Not measured: ") and "arxiv_figure1" in line
    )
    assert told in shown.replace("&#34;", '"').replace("&#39;", "'").replace("<code>", "`").replace(
        "</code>", "`"
    )
