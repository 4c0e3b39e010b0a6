"""Settings reach the component they belong to, and its code is part of what a cached result stands for."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from vqexp.core.components import build, component, own_choices
from vqexp.core.errors import ConfigError
from vqexp.pipeline import prepare
from vqexp.pipeline.record import record_key
from vqexp.pipeline.stages import Stages

QUICK = ["scale=smoke", "training.epochs=1", "attack=none", "metric.runs=1"]

DEFENSE = """
import torch
from helper import SHARE
class D(torch.nn.Module):
    random = False
    def __init__(self, strength=0.1, sigma=0.3, table=None):
        super().__init__()
        self.strength, self.sigma = strength, sigma
    def forward(self, images):
        return (images * (1 - SHARE * self.strength)).clamp(0, 1)
"""


@pytest.fixture
def own(vqexp, tmp_path, monkeypatch):
    """Run in a folder with a defense of the user's own, imported anew: (status, record or None, stderr)."""
    (tmp_path / "mine.py").write_text(DEFENSE)
    (tmp_path / "helper.py").write_text("SHARE = 1.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])

    def run(*arguments):
        for name in ("mine", "helper", "bare"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        status, out, err = vqexp(*QUICK, *arguments)
        path = out.rstrip().rsplit("record: ", 1)[-1]
        return status, json.loads(Path(path).read_text()) if status == 0 else None, err

    return run


def test_edited_code_is_run_again(own, tmp_path):
    """The first number does not come back: neither after an edit of the class, nor of what it imports."""
    one, again = own("defense._target_=mine.D")[1], own("defense._target_=mine.D")[1]
    assert one["key"] == again["key"]
    assert one["sources"]["defense"]["source"]
    keys = {one["key"]}
    (tmp_path / "mine.py").write_text(DEFENSE.replace("1 - SHARE", "0 * SHARE"))  # of the same length
    keys.add(own("defense._target_=mine.D")[1]["key"])
    (tmp_path / "mine.py").write_text(DEFENSE)
    (tmp_path / "helper.py").write_text("SHARE = 2.0\n")
    keys.add(own("defense._target_=mine.D")[1]["key"])
    (tmp_path / "helper.py").write_text("SHARE = 1.0\n")
    assert own("defense._target_=mine.D")[1]["key"] == one["key"]
    assert len(keys) == 3


def test_a_module_edited_in_a_running_python_is_refused(own, vqexp, tmp_path):
    """What runs is then not what stands in the file."""
    assert own("defense._target_=mine.D")[0] == 0
    (tmp_path / "mine.py").write_text(DEFENSE.replace("1 - SHARE", "0 * SHARE"))
    status, _, err = vqexp(*QUICK, "defense._target_=mine.D")
    assert status == 2
    assert "mine.py has changed since it was imported: start Python again" in err


def test_a_file_that_a_setting_names_is_part_of_the_key(own, tmp_path):
    (tmp_path / "table.txt").write_text("1")
    one = own("defense._target_=mine.D", "defense.table=table.txt")[1]
    (tmp_path / "table.txt").write_text("2")
    other = own("defense._target_=mine.D", "defense.table=table.txt")[1]
    assert one["key"] != other["key"]
    assert one["sources"]["defense"]["files"] != other["sources"]["defense"]["files"]


def test_settings_reach_their_own_component_alone(own):
    """swRD's sigma is not the own defense's; what is set needs no plus; a slip is refused by name."""
    record = own("defense._target_=mine.D", "defense.strength=0.2")[1]
    assert record["config"]["defense"] == {
        "_target_": "mine.D",
        "strength": 0.2,
        "sigma": 0.3,
        "table": None,
    }
    status, _, err = own("defense._target_=mine.D", "+defense.strenght=0.9")
    assert status == 2
    assert err == "vqexp: defense has no strenght; mine.D takes sigma, strength, table\n"


def test_a_module_without_source_asks_for_a_version(own, tmp_path):
    import py_compile

    (tmp_path / "helper.py").write_text("SHARE = 1.0\n")
    py_compile.compile(str(tmp_path / "mine.py"), cfile=str(tmp_path / "bare.pyc"))
    status, _, err = own("defense._target_=bare.D")
    assert status == 2
    assert "has no source to tell its versions apart; set defense.version=1" in err
    record = own("defense._target_=bare.D", "defense.version=3")[1]
    assert record["sources"]["defense"]["version"] == 3
    assert own("defense._target_=bare.D", "defense.version=4")[1]["key"] != record["key"]


def test_a_target_of_a_package_is_known_by_its_version(own):
    record = own("defense._target_=torch.nn.Hardtanh", "defense.min_val=0")[1]
    assert record["sources"]["defense"]["packages"][0].startswith("torch ")
    assert record["config"]["defense"]["max_val"] == 1.0


def test_own_choices_replace_the_settings_of_the_choice():
    told = ["defense=prd", "defense._target_=mine.D", "defense.std=0.2", "+defense.a=1", "attack=pgd"]
    assert own_choices(told) == [
        "defense._target_=mine.D",
        "++defense.std=0.2",
        "+defense.a=1",
        "attack=pgd",
        "defense=own",
    ]
    assert own_choices(["attack.eps=8/255"]) == ["attack.eps=8/255"]


def test_the_actual_arguments_include_the_defaults():
    settings = {"_target_": "vqexp.defenses.PRD", "s": 2, "k": 4, "sigma": 0, "tau": 0}
    found = component("defense", settings).settings
    assert found["restarts"] == 1
    assert found["init"] is None
    assert build("defense", settings).k == 4
    with pytest.raises(ConfigError, match=r"defense has no kk; vqexp\.defenses\.PRD takes init, k"):
        component("defense", {**settings, "kk": 1})


# numbers as people write them


@pytest.mark.parametrize("setting", ["attack.eps", "preset.eps", "defense.sigma"])
def test_a_fraction_is_a_number(vqexp, setting):
    status, out, err = vqexp("scale=smoke", "training.epochs=1", "attack=fgsm", f"{setting}=8/255")
    assert (status, err) == (0, "")
    record = json.loads(Path(out.rstrip().rsplit("record: ", 1)[1]).read_text())
    group, name = setting.split(".")
    assert record["config"][group][name] == 8 / 255
    if name == "eps":
        assert record["config"]["attack"]["eps"] == 8 / 255
        assert "l-inf, eps 8/255" in out


def test_l2_takes_its_own_radius_and_the_title_names_the_norm(vqexp):
    status, out, _ = vqexp("scale=smoke", "training.epochs=1", "attack=fgsm", "attack.norm=l2")
    assert status == 0
    record = json.loads(Path(out.rstrip().rsplit("record: ", 1)[1]).read_text())
    assert record["config"]["attack"]["eps"] == record["config"]["preset"]["eps_l2"]
    assert "FGSM, l2, eps 1" in out


SLIPS = {
    "attack.eps=8": "attack.eps is 8; it must be at most 1, the linf width of [0, 1] images; did you mean "
    "attack.eps=8/255",
    "attack.norm=l2 attack.eps=30": "attack.eps is 30; it must be at most 8, the l2 width",
    "attack.step_size=0": "attack.step_size is 0; it must be a number > 0",
    "attack.step_size=2": "and <= 1",
    "defense.sigma=1e30": "defense.sigma is 1e+30; it must be a number >= 0 and <= 1",
    "defense.tau=4": "defense.tau is 4; it must be a number >= 0 and <= 1",
    "defense.beta=1e30": "defense.beta is 1e+30",
    "training.lr=1e10": "training.lr is 10000000000.0; it must be a number > 0 and <= 10",
    "training.weight_decay=1e5": "training.weight_decay is 100000.0; it must be in [0, 1]",
    "attack.restarts=1000000": "attack.restarts is 1000000",
    "attack=cw attack.lr=1e9": "attack.lr is 1000000000.0",
    "attack=mifgsm attack.decay=1e9": "attack.decay is 1000000000.0",
    "adversary=soft adversary.temperature=1e30": "adversary.temperature is 1e+30",
}


@pytest.mark.parametrize("setting", SLIPS)
def test_a_slip_in_a_number_is_refused(vqexp, setting, tmp_path):
    status, out, err = vqexp(*setting.split())
    assert (status, out) == (2, "")
    assert SLIPS[setting] in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


OWN = """
import torch
from vqexp.adversaries import Oblivious
from vqexp.attacks import RandomNoise
from vqexp.data import Digits
from vqexp.metrics import Accuracy
NUMBER = 1
class Attack(RandomNoise): pass
class Adversary(Oblivious): pass
class Metric(Accuracy): pass
class Data(Digits): pass
class Net(torch.nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))
"""
KEYS = {
    "attack=Attack": lambda stages: stages.adversarial_keys,
    "adversary=Adversary": lambda stages: stages.view_key,
    "dataset=Data": lambda stages: stages.data_keys,
    "classifier=Net": lambda stages: stages.classifier_key,
    "metric=Metric": lambda stages: stages.experiment.sources["metric"],
}


@pytest.mark.parametrize("own", KEYS)
def test_the_code_of_every_kind_of_component_is_in_its_key(own, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (group, name), found = own.split("="), []
    settings = ["metric.runs=2", "metric.select_runs=1", "metric.vote=2", "metric.all=2"]
    for number in (1, 1, 2):
        (tmp_path / "kinds.py").write_text(OWN.replace("NUMBER = 1", f"NUMBER = {number}"))
        sys.modules.pop("kinds", None)
        more = settings if group == "metric" else []
        stages = Stages(prepare(config(f"{group}._target_=kinds.{name}", *more)))
        found.append((KEYS[own](stages), record_key(stages)))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] != found[2][1]
