"""What `pip install .` gives, away from the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vqexp
from vqexp.classifiers import save_checkpoint

ROOT = Path(__file__).parents[1]
# the editable install that tests run from lends the checkout to every process
AWAY = f"""
import runpy, sys
sys.path[:] = [path for path in sys.path if path != {str(ROOT)!r}]
runpy.run_module("vqexp", run_name="__main__", alter_sys=True)
"""
OFFLINE = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an installation of the wheel, in a repository of something else."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "pip", "install", *OFFLINE, "--target", folder, ROOT], check=True)
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    commit = ["commit", "--quiet", "--allow-empty", "--message=Other"]
    subprocess.run(["git", "-C", folder, *author, *commit], check=True)
    return folder


def away(installed, folder, command):
    """stdout of a command in `folder` that finds the installation and not the checkout."""
    unset = ("VQEXP_HOME", "VQEXP_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PYTHONPATH"] = str(installed)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "arning" not in done.stderr  # progress may be there
    return done.stdout


def test_a_table_runs_from_the_wheel(installed, tmp_path, digit_classifier):
    cell = ["table.only_rows=[RandDisc]", "table.only_columns=[natural]"]
    save_checkpoint(digit_classifier, tmp_path / "f.safetensors")  # importing what trains takes long
    network = ["classifier.width=16", "classifier.checkpoint=f.safetensors"]
    arguments = ["-m", "table=vq_table2", *cell, "scale=smoke", *network]
    out = away(installed, tmp_path, [sys.executable, "-c", AWAY, *arguments])
    assert "89.58 (0.13)" in out  # reported
    (path,) = (tmp_path / "results" / "store" / "records").glob("*.json")
    provenance = json.loads(path.read_text())["provenance"]
    assert provenance["version"] == vqexp.__version__
    assert provenance["commit"] is None


def test_the_command_has_all_groups(installed, tmp_path):
    out = away(installed, tmp_path, [installed / "bin" / "vqexp", "--help"])
    for group in (path for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "hydra"):
        choices = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        assert f"{group.name}: {choices}" in out


def test_files_beside_the_code_are_in_the_wheel(installed):
    def beside(package):
        return {path.relative_to(package) for path in package.rglob("*.*") if "__pycache__" not in path.parts}

    assert beside(installed / "vqexp" / "conf") == beside(ROOT / "conf")
    assert beside(ROOT / "vqexp") <= beside(installed / "vqexp")
    assert beside(ROOT / "hydra_plugins") <= beside(installed / "hydra_plugins")
