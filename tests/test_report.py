"""The report: what it shows comes from records, and smoke runs are no measurements."""

import csv
import gzip
import html
import json
import re
import shlex
import shutil
from dataclasses import asdict

import pytest
from conftest import QUICK_F, run_cli, section
from records import record

import vqexp
from vqexp import results
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.reports.analysis.gather import Section
from vqexp.reports.analysis.options import options
from vqexp.reports.render.origin import origin
from vqexp.reports.render.report import write
from vqexp.reports.spec.figure import figure_path, read_figure
from vqexp.reports.spec.table import all_tables, load_table, read_table

TABLE = ["-m", "table=vq_table2", "table.only_rows=[RandDisc]"]
SMALL = ["dataset.n=16", "metric.runs=2", "table.only_columns=[natural,pgd]"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory, enlarged_digits):
    """A store with two cells of Table 2, measured on 16 images."""
    root = tmp_path_factory.mktemp("measured") / "store"
    status, out, err = run_cli(*TABLE, *SMALL, *QUICK_F, "scale=cpu", store=root, data=enlarged_digits)
    assert (status, err) == (0, "")
    assert "10.82 (0.29)" in out
    return root


@pytest.fixture
def store(measured, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(measured, tmp_path / "store")


@pytest.fixture(scope="module")
def report(measured, tmp_path_factory):
    """The folder of its report, beside the audits that are committed."""
    folder = tmp_path_factory.mktemp("results")
    committed = CONF.parent / "results"
    shutil.copytree(committed / "audits", folder / "audits")
    shutil.copy(committed / "audits.csv", folder)
    write(measured, folder)
    return folder


def test_the_report_shows_reported_beside_measured(measured, report):
    page = (report / "README.md").read_text()
    records = {record.reported.column: record for record in results.records(measured)}
    robust = records["pgd"].metrics["robust_accuracy"]
    line = next(
        line for line in section(page, "vq_table2") if line.startswith("| RandDisc (s=1, k=25) | pgd")
    )
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2] == "10.82 (0.29)"
    assert cells[3].startswith(f"{100 * robust.mean:.2f}")
    assert cells[5].strip("*") == f"{100 * robust.mean - 10.82:+.2f}"
    assert cells[8:] == ["2", "16"]
    low, high = robust.ci95
    assert cells[5].startswith("**") == (not low <= 0.1082 <= high)
    assert "| BS | pgd | 51.67 | quoted |" in page
    assert "| Fast AdvT | eps_0 | 98.63 | the paper's own run, not repeated here |" in page
    (left,) = (
        line for line in section(page, "vq_table2") if line.startswith("| RandDisc (s=1, k=25) | auto")
    )
    assert """'table.only_rows=["RandDisc (s=1, k=25)"]' 'table.only_columns=["autoattack"]' scale""" in left
    (row,) = (line for line in section(page, "vq_table2") if line.startswith("| swRD (s=3, k=25) |"))
    assert row.startswith(
        "| swRD (s=3, k=25) | natural, pgd, autoattack | 83.42 (0.13), 75.56 (0.21), 73.67 (0"
    )
    assert """table=vq_table2 'table.only_rows=["swRD (s=3, k=25)"]' scale=cpu""" in row
    with open(report / "vq_table2.csv") as file:
        own = [row for row in csv.DictReader(file) if row["own"] == "True"]
    assert {(row["column"], row["metric"]) for row in own} == {
        ("natural", "natural_accuracy"),
        ("pgd", "robust_accuracy"),
    }
    rows = [row for row in own if row["column"] == "pgd"]
    assert [float(row["mean"]) for row in rows] == pytest.approx([robust.mean])
    assert float(rows[0]["reported"]) == pytest.approx(0.1082)
    assert rows[0]["key"] == records["pgd"].key


def test_the_page_stands_alone_and_needs_no_pointer(report):
    page = (report / "index.html").read_text()
    assert not re.search(r"""(src|href)=["']?(http|//|[\w./]+\.(png|css|js))""", page)
    texts = (">Is it robust?", 'id="audits"', ">How to read the tables", 'id="paper-1"', "vq_table2")
    places = [page.index(text) for text in texts]
    assert places == sorted(places)
    assert "data:image/webp;base64," in page  # the schematics, which need no measurement
    assert "title=" not in page
    row = re.search(r"<tr><th>RandDisc \(s=1, k=25\)</th>.*?</tr>", page, re.S).group()
    assert "89.58 (0.13)" in row
    assert 'class="gap outside"' in row or 'class="gap inside"' in row
    assert re.search(r'<span class="soft">\[\d.*?\]</span>', row)  # the interval
    measured, missing = page.split('id="vq_table2"')[1], "summary>ImageNet, l-inf, eps 4/255"
    assert missing in measured  # of a table without records one line is seen


def test_it_says_first_what_is_robust_and_checks_of_ours_apart(report):
    """The three defenses, from the audits that an earlier report left; the papers' claims; then ours."""
    page, shown = (report / "README.md").read_text(), (report / "index.html").read_text()
    assert page.splitlines()[2].startswith("**Not robust:** swRD, pRD, RandDisc")
    for defense, reported in (("pRD", "61.2"), ("RandDisc", "27.2"), ("swRD", "68.4 (s=2, k=15)")):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| **{defense}** |")]
        assert f" | {reported} | " in line
        assert "| **not robust** |" in line
        assert "Audit: BROKEN" in line
    assert page.index("**not robust**") < page.index("Written by `make report`") < page.index("## Claims")
    said, ours = page.split("## Claims")[1].split("## Checks of ours")
    text = "PGD that knows RandDisc (STE) is at least as strong as PGD that ignores it"
    assert text not in said
    assert text in ours.split("\n## ")[0]
    assert shown.index(">Checks of ours</h2>") < shown.index(text)
    assert re.search(r"\| \[JPEG\]\(audits/cifar10-jpeg-\w+\.md\) \| INCOMPLETE \(\d+ of \d+ rows\) \|", page)
    assert "not judged; hangs on the mixtures' regularization" in said
    assert re.search(r"<summary>JPEG on cifar10, INCOMPLETE \(\d+ of \d+ rows\): attacks", shown)
    told = next(line for line in section(page, "vq_table2") if line.startswith("Commit ") and "vqexp" in line)
    assert f"; vqexp {vqexp.__version__}; " in told


def test_provenance_names_the_versions_of_stages():
    """Those of records that know them; several where they differ."""

    old = origin([record()])
    assert old.startswith("Commit aaaaaaaaaa; cpu; torch 2")
    told = [{"version": "0.2.0", "versions": {"metric": n, "attack": 3}} for n in (1, 2)]
    new = origin([record(provenance=each) for each in told])
    assert "; vqexp 0.2.0; stages attack 3, metric 1 and 2; cpu;" in new


def test_a_missing_cell_shows_a_command_that_fills_it(report, vqexp):
    page = (report / "index.html").read_text()
    row = re.search(r"<tr><th>swRD \(s=3, k=70\)</th>.*?</tr>", page, re.S).group()
    command = shlex.split(html.unescape(re.findall("<code>(.*?)</code>", row)[1]))
    assert command[:2] == ["python", "run.py"]
    status, out, err = vqexp(*command[2:], "classifier.checkpoint=auto", "dry_run=true")
    assert (status, err) == (0, "")
    assert [line for line in out.splitlines() if "swRD (s=3, k=70)" in line and "pgd" in line]
    assert "0 of 1 cells" in out


def test_latex_has_every_row_and_column(report):
    text = (report / "tables" / "vq_table2.tex").read_text()
    lines = text.splitlines()
    widths = {line.count("&") for line in lines if line.endswith("\\\\")}
    assert widths == {3}
    assert sum(line.startswith(r"\quad reported") for line in lines) == 12
    assert {r"\toprule", r"\midrule", r"\bottomrule"} <= set(lines)
    assert not re.search(r"(?<!\\)[%_#]", "\n".join(lines[1:]))


def test_of_two_measurements_the_larger_is_shown(store, vqexp, tmp_path, small_cifar10, undrawn):
    more = ["scale=cpu", "dataset.n=24", "precision=bfloat16", "table.only_columns=[pgd]"]
    assert vqexp(*TABLE, *SMALL, *small_cifar10, *more)[0] == 0
    write(store, tmp_path / "results")
    page = (tmp_path / "results" / "README.md").read_text()
    assert "With `precision=bfloat16` besides: RandDisc (s=1, k=25), pgd." in page
    line = next(
        line for line in section(page, "vq_table2") if line.startswith("| RandDisc (s=1, k=25) | pgd")
    )
    assert line.endswith("| 2 | 24 |")


def test_a_report_adds_to_what_an_earlier_one_left(store, vqexp, tmp_path, small_cifar10, undrawn):
    folder, other = tmp_path / "results", tmp_path / "other"
    rows = ["no attack", "PGD, cross-entropy"]
    audit = ["-m", "table=audit", "defense=jpeg", "scale=cpu", *QUICK_F, "scale.audit.members=8"]
    assert vqexp(*audit, f"table.only_rows={json.dumps(rows)}")[0] == 0
    write(store, folder)
    first = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    kept = gzip.decompress((folder / "records.jsonl.gz").read_bytes()).decode()
    assert kept
    assert str(tmp_path) not in kept

    # the same from no store at all, but for the figures' dates
    write(tmp_path / "none", folder)
    assert all(
        path.read_bytes() == then for path, then in first.items() if path.suffix not in (".pdf", ".png")
    )

    # one more cell, and fewer rows of the audit, from another store
    more = ["dataset.n=24", "table.only_columns=[pgd]", "scale=cpu"]
    assert vqexp(*TABLE, *SMALL, *small_cifar10, *more, store=other)[0] == 0
    assert vqexp(*audit, "table.only_rows=[no attack]", store=other)[0] == 0
    write(other, folder)
    page = (folder / "README.md").read_text()
    lines = [line for line in section(page, "vq_table2") if line.startswith("| RandDisc (s=1, k=25) |")]
    assert [line.split(" | ")[-1] for line in lines if "python" not in line] == ["16 |", "24 |"]
    pages = [path for path in first if path.parent.name == "audits" and path.suffix == ".md"]
    assert [path.read_bytes() for path in pages] == [first[path] for path in pages] != []
    assert len(results.records(folder / "records.jsonl.gz")) == 2


def test_the_command_names_the_recipe_of_an_f_trained_beside_a_given_one():
    config = {"scale": {"name": "cpu", "runs": 2, "n": 8}, "dataset": {"n": 8}, "metric": {"runs": 2}}
    optimizer = {"_target_": "torch.optim.AdamW", "eps": 1e-6}
    recipe = {"epochs": 1, "lr": 0.02, "optimizer": optimizer, "start": "0123"}
    identities = (
        {"_target_": "f", "checkpoint": "0123"},
        {"_target_": "f", "training": recipe, "data": [500, 0, ""]},
    )
    records = {
        (name, "pgd"): record(config, classifier=identity)
        for name, identity in zip(("RandDisc (s=1, k=25)", "pRD (s=2, k=25)"), identities, strict=True)
    }
    section = Section(("f, checkpoint 0123", "f, trained"), records, frozenset(records))
    assert options(table("vq_table2"), section) == (
        "scale=cpu classifier.checkpoint=FILE training.epochs=1 training.lr=0.02 "
        "training.optimizer._target_=torch.optim.AdamW training.optimizer.eps=1e-06 ++training.start=FILE "
        "dataset.train_n=500"
    )


def test_smoke_runs_are_refused_as_measurements(store, tmp_path):
    for path in (store / "records").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "smoke": True}))
    with pytest.raises(ConfigError, match="no records"):
        write(store, tmp_path / "results")


def table(name):
    from vqexp.core.config import CONF

    return read_table(CONF / "table" / f"{name}.yaml")


def test_every_table_names_its_cells_once():
    for each in all_tables():
        cells = each.cells(quoted=True)
        assert len({cell.place for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"only_columns": ["pdg"]}, "natural, pgd, autoattack"), ({"only_rows": ["Rand Disc"]}, "RandDisc")],
)
def test_unknown_rows_and_columns_list_what_exists(setting, message):
    settings = {**asdict(table("vq_table1")), **setting}
    with pytest.raises(ConfigError, match=message):
        load_table(settings)


def test_reported_values_are_the_papers():
    """Spot checks against the journal paper's Tables 1 and 2."""
    cells = {cell.place: cell.reported for cell in table("vq_table2").cells(quoted=True)}
    assert cells["swRD (s=3, k=70)", "autoattack"] == [67.64, 0.43]
    assert cells["pRD (s=2, k=25)", "natural"] == [79.43, 0.11]
    cells = {cell.place: cell.reported for cell in table("vq_table1").cells(quoted=True)}
    assert cells["swRD (s=2, k=2)", "pgd"] == [97.07, 0.06]


def test_an_f_with_random_layers_inside_is_that_defenses_own():
    table = read_table(CONF / "table" / "ctrw_table3.yaml")
    setups = {cell.series: cell.setup for cell in table.cells() if cell.panel == "small ResNet"}
    assert setups["Overfit"] == setups["Additive Noise"] == setups["EnsTrans"]  # these stand before f
    assert len({setups[name] for name in ("Overfit", "CTRW", "RNA", "RPF")}) == 4


def test_an_f_trained_behind_a_defense_is_that_defenses_own():
    figure = read_figure(figure_path("arxiv_figure8"))
    setups = {cell.series: cell.setup for cell in figure.table.cells() if cell.panel == "CIFAR-10"}
    assert setups["pRD"] == setups["swRD"]
    assert len({setups[name] for name in ("pRD", "t-pRD", "t-swRD")}) == 3
