"""What computes a quantizer: how it is chosen, refused and told."""

import importlib

import pytest
import torch

from vqexp.core.errors import ConfigError
from vqexp.defenses import PRD, SwRD
from vqexp.defenses.vq import backends
from vqexp.pipeline import reading as records

CPU = torch.device("cpu")
QUANTIZER = dict(s=2, k=4, sigma=0, tau=0)


def chosen(wanted="auto", n=16, dtype=torch.float32):
    return backends.choose(wanted, n, 12, 4, CPU, dtype).name


class OnlySmall(backends.Backend):
    name = "small"

    def refusal(self, n, d, k, dtype):
        return None if n <= 16 else f"it takes at most 16 patches, not {n}"

    def forward(self, quantizer, images, draw):
        return torch.zeros_like(images)


@pytest.fixture
def small(monkeypatch):
    """A further backend, the first that `auto` tries."""
    monkeypatch.setattr(backends, "BACKENDS", {"small": "cpu", "torch": "any"})
    monkeypatch.setattr(backends, "NAMES", ("auto", "small", "torch"))
    monkeypatch.setattr(
        backends, "load", lambda name: {"small": OnlySmall, "torch": backends.Backend}[name]()
    )


def test_auto_takes_the_first_that_can(small):
    assert [chosen(), chosen(n=17), chosen("torch")] == ["small", "torch", "torch"]


def test_what_cannot_run_is_refused_if_it_is_wanted(small):
    assert chosen("small") == "small"
    with pytest.raises(
        ConfigError, match=r"^defense\.backend is 'small', and it takes at most 16 patches, not 17"
    ):
        chosen("small", n=17)
    with pytest.raises(ConfigError, match=r"it runs on cpu, not on meta; choose auto or torch$"):
        backends.choose("small", 1, 1, 1, torch.device("meta"), torch.float32)


def test_a_whole_forward_pass_only_where_no_gradient_is_wanted(small):
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    q = PRD(**QUANTIZER)
    assert q(images).amax() > 0
    with torch.no_grad():
        assert q(images).amax() == 0
    assert q(images.detach()).amax() == 0
    assert PRD(**QUANTIZER, backend="torch")(images.detach()).amax() > 0


def test_a_library_that_is_missing_is_told_once(monkeypatch, capsys):
    monkeypatch.setattr(backends, "BACKENDS", {"absent": "cpu", "torch": "any"})
    for _ in range(2):
        assert chosen() == "torch"
    assert capsys.readouterr().err.count("absent cannot be imported") == 1
    with pytest.raises(ConfigError, match="it cannot be imported"):
        chosen("absent")


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"defense\.backend is 'jax'; it must be one of auto, .*torch"):
        SwRD(**QUANTIZER, beta=1, backend="jax")


def test_a_run_tells_its_backend_and_a_key_does_not(vqexp, tmp_path):
    paths = []
    for backend in ("torch", "auto"):
        status, out, err = vqexp(
            "scale=smoke", "attack=none", f"defense.backend={backend}", "training.epochs=1", store=tmp_path
        )
        assert status == 0, err
        paths.append(out.splitlines()[-1].removeprefix("record: "))
    assert paths[0] == paths[1]
    record = records.read(paths[0])
    assert record.config["defense"]["backend"] == "torch"
    assert record.provenance.backend == f"torch {importlib.metadata.version('torch')}"


def test_a_run_on_the_wrong_device_writes_nothing(vqexp, tmp_path, monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "torch", "cuda")
    status, out, err = vqexp("defense.backend=torch", "device=cpu", store=tmp_path / "store")
    assert (status, out) == (2, "")
    assert err.strip().endswith("it runs on cuda, not on cpu; choose auto or torch")
    assert not (tmp_path / "store").exists()
