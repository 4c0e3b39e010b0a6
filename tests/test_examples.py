"""Every example is short, and runs: its command, or the script itself."""

import re
import runpy
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest

import vqexp as package

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
COMMAND = re.compile(r"^vqexp (.*)$", re.MULTILINE)
# of an audit, the rows that its verdict needs
ROWS = ['scale.audit.rows=["no attack","PGD that ignores","PGD, margin"]']


@pytest.fixture(autouse=True)
def there(monkeypatch, tmp_path):
    """In a folder with the examples; their modules are forgotten afterwards."""
    for path in EXAMPLES:
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(package, "audit", partial(package.audit, settings=ROWS), raising=False)
    yield
    for path in EXAMPLES:
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, vqexp, capsys, tmp_path):
    text = path.read_text()
    assert len(text.splitlines()) <= 20
    command = COMMAND.search(text)
    if command is None:
        runpy.run_path(str(tmp_path / path.name), run_name="__main__")
        out = capsys.readouterr().out
    else:
        quick = [] if "training.epochs" in text else ["training.epochs=1"]
        status, out, err = vqexp(*shlex.split(command[1]), "scale=smoke", *quick)
        assert status == 0, err
        assert out.count("robust accuracy  ") == (2 if "-m " in command[1] else 1)
        assert f"{path.stem}." in next((tmp_path / "store" / "records").glob("*.json")).read_text()
    expected = {"audit_in_python": "BROKEN", "certificate": "right and certified within 0.5: "}
    assert expected.get(path.stem, "record: ") in out
    assert (tmp_path / "audit.html").exists() == (path.stem == "audit_in_python")


def test_the_certificate_says_something(capsys, tmp_path):
    runpy.run_path(str(tmp_path / "certificate.py"))
    shares = [int(found) for found in re.findall(r"(\d+) %", capsys.readouterr().out)]
    assert 100 >= shares[0] >= shares[1] >= shares[2] > 20
