"""What README and docs say is true: commands and Python run, links lead somewhere, numbers are the results'.

A command is run at smoke scale. One whose comment begins with "needs" lacks something here, such as images or
weights: its settings are composed and checked instead.
"""

import csv
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from command_line import called
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

import vqexp
from vqexp.commands import COMMANDS
from vqexp.core.components import own_choices
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.interface.audit import BUDGETS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# what changes a shell or installs: `tests/test_wheel.py` installs, and a shell's completion needs the shell
SHELL = ("source .venv/bin/activate", 'eval "$(vqexp -sc install=bash)"')
FAST = ["scale=smoke", "training.epochs=1", "classifier.width=4", "dataset.train_n=200", "dataset.n=4"]
# of an audit, and of another table, the rows that show that it works
AUDIT = 'table.only_rows=["no attack","PGD, margin"]'
ROWS = {"table=audit": AUDIT, "table=vq_table2": "table.only_rows=[RandDisc]"}
# of a page's Python, numbers that only cost time
LESS = {"n=10_000": "n=200", "attack.steps=100": "attack.steps=3"}


def blocks(page, language):
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def commands(page):
    """(command, comment) of each line in a page's shell blocks."""
    lines = [line for text in blocks(page, "sh") for line in text.splitlines() if line.strip()]
    pairs = [re.split(r"\s+# ", line, maxsplit=1) for line in lines]
    return [(command, (*comment, "")[0]) for command, *comment in pairs]


def runnable(page):
    return [text for text, comment in commands(page) if text.startswith("vqexp") and not lacks(comment)]


def lacks(comment):
    return comment.startswith("needs")


def arguments(command):
    """What follows the program's name and the settings of the environment before it."""
    words = shlex.split(command)
    return words[(words.index("run.py") if "run.py" in words else words.index("vqexp")) + 1 :]


def quickly(words):
    """The arguments of a run or sweep, at smoke scale."""
    chosen = {word.split("=")[0] for word in words}
    fast = [text for text in FAST if text.split("=")[0] not in chosen - {"scale"}]
    rows = [ROWS[word] for word in words if word in ROWS]
    return [*(word for word in words if not word.startswith("scale=")), *fast, *rows]


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """In a folder with the modules that README tells the reader to write, and with a store there."""
    for text in blocks(ROOT / "README.md", "python"):
        if name := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / name[1]).write_text(text)
    sys.modules.pop("my_defense", None)  # of another test
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("VQEXP_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("VQEXP_DATA", raising=False)
    yield tmp_path
    sys.modules.pop("my_defense", None)


def test_every_command_is_tested():
    every = [each for page in PAGES for each in commands(page)]
    others = [
        text for text, comment in every if not lacks(comment) and not text.startswith(("vqexp", "make "))
    ]
    assert set(others) == set(SHELL)
    assert sum(not lacks(comment) for _, comment in every) > 30


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page, reader):
    for command in runnable(page):
        words = arguments(command)
        words = words if words[:1] and words[0] in COMMANDS else quickly(words)
        status, _, err = called("vqexp", *words)
        assert status == 0, f"{command}: {err}"


def indented(page):
    """Commands outside the shell blocks, which are for machines that are not here."""
    lines = re.findall(r"^    (.*(?:python run\.py|vqexp) .*=.*)$", page.read_text(), re.MULTILINE)
    return [(re.split(r"\s+# ", line)[0], "needs the machines that the page is about") for line in lines]


NEEDY = [(text, comment) for page in PAGES for text, comment in commands(page) if lacks(comment)]
NEEDY += [each for page in PAGES if page.parent.name == "docs" for each in indented(page)]


@pytest.mark.parametrize(("command", "comment"), dict(NEEDY).items())
def test_the_settings_of_other_commands_are_good(command, comment, reader):
    assert comment.removeprefix("needs").strip(), "say what it needs"
    if command.startswith("python scripts/"):
        assert (ROOT / command.split()[1]).exists()
        return
    words = arguments(command)
    if words[0] in COMMANDS:
        assert "no record in" in called("vqexp", *words)[2]
        return
    register_resolvers()
    # a search is of a sweeper that may not be here; of several values of a sweep the first is checked
    texts = [
        word for word in own_choices(words) if not word.startswith(("-", "hydra")) and "=range" not in word
    ]
    found = OverridesParser.create().parse_overrides(texts)
    single = [re.sub(r"=([^\[,(]*),.*", r"=\1", text) for text in texts]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=single)
    assert resolved(config)
    assert len(found) == len(single)


MAKE = [text for page in PAGES for text, _ in commands(page) if text.startswith("make ")]


@pytest.mark.parametrize("command", dict.fromkeys(MAKE))
def test_make_knows_the_targets(command):
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem
)
def test_the_python_of_a_page_runs(page, reader, monkeypatch, digit_classifier, digit_images):
    monkeypatch.setitem(BUDGETS, "quick", "smoke")
    monkeypatch.setattr(vqexp, "audit", partial(vqexp.audit, settings=[AUDIT]), raising=False)
    images, labels = digit_images.pixels(slice(0, 4)), digit_images.labels[:4]
    known = {"model": digit_classifier, "classifier": digit_classifier, "images": images, "labels": labels}
    for text in blocks(page, "python"):
        for told, less in LESS.items():
            text = text.replace(told, less)
        exec(compile(text, str(page), "exec"), known)
    if "report" in known:
        assert (reader / "audit.html").read_text()
    if "found" in known:
        assert known["found"].labels.shape == (4,)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


def test_all_pages_are_in_the_navigation():
    told = [
        name for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"] for name in entry.values()
    ]
    assert {page.name for page in (ROOT / "docs").glob("*.md")} == set(told)


def proven(table, row, column):
    with (ROOT / "results" / f"{table}.csv").open(newline="") as file:
        found = [each for each in csv.DictReader(file) if (each["row"], each["column"]) == (row, column)]
    (own,) = [each for each in found if each["own"] == "True"]
    return f"{100 * float(own['mean']):.1f} %"


def test_numbers_of_the_readme_are_those_of_the_results():
    readme, report = (path.read_text() for path in (ROOT / "README.md", ROOT / "results" / "README.md"))
    swrd = next(line for line in report.splitlines() if line.startswith("| **swRD** | CIFAR-10"))
    cells = swrd.split("|")
    found = [re.search(r"\d+\.\d", cells[at])[0] for at in (4, 5, 6, 9)]
    assert all(f"{number} %" in readme for number in found)
    (weights,) = [line for line in report.splitlines() if line.startswith("| CTRW | 69.5")]
    own, averaged = (re.search(r"(\d+\.\d) \(.(\d+\.\d) ", weights.split("|")[at]).groups() for at in (3, 6))
    for number in (f"{own[1]} points", f"{own[0]}\n", f"{averaged[1]} points away ({averaged[0]} %)"):
        assert number.strip() in readme
    cifar10 = proven("stn_table1", "STN", "cifar10_certified")
    mnist = proven("stn_gap", "MNIST, certified (Rényi), radius=0.5", "accuracy")
    assert f"CIFAR-10 {cifar10} of the images are proven robust at radius 36/255" in readme
    assert f"MNIST {mnist} are at radius 0.5, and none at 1.58" in readme
    assert proven("stn_table1", "STN", "mnist_certified") == "0.0 %"
    right = re.findall(r"\*\*(\d+) of \1 audits say what is known", report)
    assert re.findall(r"right about all (\d+) defenses", readme) == right
