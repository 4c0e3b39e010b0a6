"""Settings reach the component they belong to, and its code is part of what a cached result stands for."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from vqexp.core.components import build, component, own_choices
from vqexp.core.errors import ConfigError
from vqexp.core.sources import source_of
from vqexp.pipeline import prepare
from vqexp.pipeline.stages import Stages
from vqexp.pipeline.write import record_key

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


def test_own_choices_inside_a_group_replace_what_stands_there():
    told = ["training.objective._target_=mine.O", "training.objective.inner._target_=mine.I", "training.lr=1"]
    assert own_choices(["-m", *told, "training.objective.strength=2"]) == [
        "-m",
        "~training.objective",
        "++training.objective._target_=mine.O",
        "++training.objective.inner._target_=mine.I",
        "training.lr=1",
        "++training.objective.strength=2",
    ]
    # a whole group of one's own has nothing to replace, and a surrogate's changes none
    assert own_choices(["training._target_=mine.T", "training.part._target_=mine.P"]) == [
        "training._target_=mine.T",
        "++training.part._target_=mine.P",
        "training=own",
    ]
    change = "+adversary.training.optimizer._target_=torch.optim.AdamW"
    assert own_choices([change]) == [change]


PARTS = """
class Leaf:
    def __init__(self, size=3):
        self.size = size
class Whole:
    PLAIN = ("raw",)
    PARTIAL = ("later",)
    def __init__(self, leaf, raw=None, later=None, number=1):
        self.leaf, self.raw, self.later = leaf, raw, later
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    sys.modules.pop("parts", None)


def test_a_setting_with_a_target_is_a_component_of_its_own(parts):
    """Built recursively, its defaults in the settings; plain where the class says so, partial on demand."""
    leaf = {"_target_": "parts.Leaf"}
    settings = {"_target_": "parts.Whole", "leaf": leaf, "raw": leaf, "later": {**leaf, "size": 5}}
    found = component("whole", settings)
    whole = found.make()
    assert (whole.leaf.size, whole.raw, whole.later().size, whole.later(size=7).size) == (3, leaf, 5, 7)
    assert found.settings == {**settings, "leaf": {**leaf, "size": 3}, "number": 1}
    late = component("whole", {**settings, "leaf": {**leaf, "_partial_": True}})
    assert late.make().leaf(size=9).size == 9
    assert late.settings["leaf"] == {**leaf, "_partial_": True}
    with pytest.raises(ConfigError, match=r"whole\.leaf has no sise; parts\.Leaf takes size"):
        component("whole", {**settings, "leaf": {**leaf, "sise": 1}})
    with pytest.raises(ConfigError, match=r"whole\.leaf\._target_=parts\.Tree cannot be imported"):
        component("whole", {**settings, "leaf": {"_target_": "parts.Tree"}})


def test_the_sources_of_a_component_have_those_of_its_parts(parts):
    plain = {"_target_": "vqexp.training.Descent", "epochs": 1, "lr": 0.1}
    assert source_of(component("training", plain)) == {}
    inside = {
        "objective": {"_target_": "vqexp.training.CrossEntropy"},
        "schedule": {"_target_": "parts.Leaf"},
    }
    found = source_of(component("training", {**plain, **inside}))["parts"]
    assert found["objective"] == {"version": 1}
    assert set(found["schedule"]) == {"source"}


OBJECTIVE = """
from vqexp.training import Objective
class Squares(Objective):
    def __init__(self, strength=1.0):
        self.strength = strength
    def loss(self, model, batch, step):
        logits = model(batch.images)
        return self.strength * logits.square().mean(), logits
"""


def test_an_objective_and_an_optimizer_of_ones_own(own, tmp_path):
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    chosen = ["training.objective._target_=mine.Squares", "training.objective.strength=0.5"]
    chosen += ["training.optimizer._target_=torch.optim.AdamW", "training.optimizer.eps=1e-6"]
    status, record, err = own(*chosen)
    assert status == 0, err
    training = record["classifier"]["training"]
    assert training["objective"] == {"_target_": "mine.Squares", "strength": 0.5}
    assert training["optimizer"] == {"_target_": "torch.optim.AdamW", "eps": 1e-6}
    assert set(training["parts"]["objective"]) == {"source"}
    assert training["parts"]["optimizer"]["packages"][0].startswith("torch ")
    (tmp_path / "mine.py").write_text(OBJECTIVE.replace("square", "exp"))
    assert own(*chosen)[1]["artifacts"]["classifier"] != record["artifacts"]["classifier"]
    status, _, err = own(*chosen, "training.objective.label_smoothing=0.1")
    assert (status, err) == (
        2,
        "vqexp: training.objective has no label_smoothing; mine.Squares takes strength\n",
    )


TRAINING = """
import torch
from vqexp.training import Training
class Constant(Training):
    def __init__(self, value):
        self.value = value
    def fit(self, classifier, train, *, seed, device, state_path=None, logger=None, test=None):
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.fill_(self.value)
        classifier.eval()
        return {}
"""


def test_a_training_of_ones_own(own, vqexp, tmp_path):
    (tmp_path / "mine.py").write_text(TRAINING)
    status, _, err = own("training._target_=mine.Constant", "training.value=0.5")
    # which this run says, too
    assert (status, err) == (2, "vqexp: training has no epochs; mine.Constant takes value\n")
    status, out, err = vqexp(
        "scale=smoke", "attack=none", "training._target_=mine.Constant", "training.value=0.5"
    )
    assert status == 0, err
    record = json.loads(Path(out.rstrip().rsplit("record: ", 1)[1]).read_text())
    assert record["classifier"]["training"]["value"] == 0.5
    assert record["sources"]["training"]["source"]


def test_the_actual_arguments_include_the_defaults():
    settings = {"_target_": "vqexp.defenses.PRD", "s": 2, "k": 4, "sigma": 0, "tau": 0}
    found = component("defense", settings).settings
    assert found["restarts"] == 1
    assert found["init"] is None
    assert build("defense", settings).k == 4
    with pytest.raises(ConfigError, match=r"defense has no kk; vqexp\.defenses\.PRD takes backend, init, k"):
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
    "training.weight_decay=1e5": "training.weight_decay is 100000.0; it must be a number >= 0 and <= 1",
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
    digits = ["dataset.name=digits", "dataset.shape=[1,8,8]", "dataset.num_classes=10"]
    settings = ["metric.runs=2", "metric.select_runs=1", "metric.vote=2", "metric.all=2"]
    for number in (1, 1, 2):
        (tmp_path / "kinds.py").write_text(OWN.replace("NUMBER = 1", f"NUMBER = {number}"))
        sys.modules.pop("kinds", None)
        more = {"metric": settings, "dataset": digits}.get(group, [])
        stages = Stages(prepare(config(f"{group}._target_=kinds.{name}", *more)))
        found.append((KEYS[own](stages), record_key(stages)))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] != found[2][1]
