"""`scripts/check_gpu.py` where there is no GPU: it says so, and what of it can run on a CPU does."""

import importlib.util
from pathlib import Path

import pytest
import torch

from vqexp.classifiers import small_cnn


@pytest.fixture
def script(monkeypatch):
    """The script as a module, with a small f, and a second for whatever is timed."""
    path = Path(__file__).parents[1] / "scripts" / "check_gpu.py"
    spec = importlib.util.spec_from_file_location("check_gpu", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "resnet18", lambda shape, classes: small_cnn(shape, classes, width=4))
    monkeypatch.setattr(module, "seconds", a_second)
    return module


def a_second(work):
    work()
    return 1.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so(script, capsys):
    assert script.main([]) == 1
    assert capsys.readouterr().err == "there is no CUDA device\n"


def test_only_the_named_sections_are_run(script, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert script.main(["paritty"]) == 2
    assert "no section 'paritty'; there are environment, noise, parity, " in capsys.readouterr().err
    monkeypatch.delenv("OUT", raising=False)
    monkeypatch.setattr(script, "parity", lambda: iter([("difference", 0.5)]))
    assert script.main(["parity"]) == 0
    out = capsys.readouterr().out
    assert "parity (" in out
    assert "0.5" in out
    assert "environment" not in out


def test_f_in_bfloat16_has_the_gradient_of_float32(script):
    before = torch.backends.cudnn.allow_tf32
    rows = dict(script.precisions(torch.rand(128, 3, 32, 32), compiled=False))
    assert rows["float32: cosine"] == pytest.approx(1, abs=1e-6)
    assert 0.99 < rows["bfloat16: cosine"] < 1
    assert rows["bfloat16"] == 128
    assert torch.backends.cudnn.allow_tf32 == before


def test_eot_is_timed_by_draws_at_once(script):
    rows = dict(script.draws(torch.rand(4, 3, 32, 32), count=3))
    assert rows == {f"memory_limit {limit}": 12 for limit in (1024, 4096, 16384)}
