"""Help, settings and typos are told before anything slow is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SLOW = {"matplotlib", "pandas", "scipy", "sklearn", "statsmodels", "torch"}
AT_EXIT = f"""
import atexit, runpy, sys
atexit.register(lambda: print("slow:", *sorted({SLOW} & sys.modules.keys()), file=sys.stderr))
runpy.run_path("run.py", run_name="__main__")
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["list", "defense"], 0),
        (["--cfg", "job"], 0),
        (["--cfg", "hydra", "table=vq_table1"], 0),
        (["defense=swrdd"], 2),
        (["defense.kk=3"], 2),
        (["dry_run=maybe"], 2),
        (["table=vq_table1"], 2),
        (["-m", "table=vq_table11"], 2),
    ],
)
def test_nothing_slow_is_imported_before_a_run(arguments, status):
    done = run(AT_EXIT, *arguments)
    *message, slow = done.stderr.splitlines()
    assert (done.returncode, slow) == (status, "slow:")
    assert [line.startswith("vqexp: ") for line in message] == [True] * (status == 2)


def test_the_package_imports_what_is_asked_for():
    """The package alone does not import torch; what is asked for is there all the same."""
    code = "import sys, vqexp; vqexp.__version__; print('torch' in sys.modules); vqexp.results.load; "
    code += "from vqexp import certify, defend; print('torch' in sys.modules); vqexp.nothing"
    done = run(code)
    assert done.stdout == "False\nTrue\n"
    assert "no attribute 'nothing'" in done.stderr


def test_warnings_for_hydras_authors_are_not_shown():
    """What Hydra does, later versions of OmegaConf warn of; what a user does is still warned of."""
    code = """import warnings, vqexp.core.config
warnings.warn("register_new_resolver() is deprecated", DeprecationWarning)
warnings.warn("Implicit conversion from int to str at 'hydra.job.id' is deprecated", FutureWarning)
warnings.warn("Implicit conversion from int to str at 'dataset.name' is deprecated", FutureWarning)
"""
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True)
    assert done.stderr.count("Warning") == 1
    assert "dataset.name" in done.stderr
