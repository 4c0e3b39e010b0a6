"""Two settings have two keys, whatever their names are."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqexp.core.components import EXECUTION
from vqexp.core.config import CONF
from vqexp.core.keys import joined, key_of
from vqexp.pipeline import prepare
from vqexp.pipeline.experiment import Experiment
from vqexp.pipeline.stages import Stages
from vqexp.pipeline.write import record_key
from vqexp.reports.spec.choices import read_settings

NAMES = st.sampled_from(["_target_", "version", "seed", "settings", "data"])
VALUES = (
    st.none() | st.integers(0, 2) | st.dictionaries(st.sampled_from(["version", "seed"]), st.integers(0, 1))
)
DICTS = st.dictionaries(NAMES, VALUES)


@given(one=DICTS, other=DICTS, found=DICTS)
def test_what_is_found_beside_settings_hides_none_of_them(one, other, found):
    told, same = key_of(joined(one, found)), key_of(joined(other, found))
    assert (told == same) == (one == other)


@given(settings=DICTS)
def test_what_hides_nothing_changes_no_key(settings):
    assert joined(settings, {"source": "a hash"}) == {"source": "a hash", **settings}


CHOICES = [
    (group, path.stem)
    for group in ("attack", "adversary", "defense", "training", "metric", "dataset", "classifier")
    for path in sorted((CONF / group).glob("*.yaml"))
]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_setting_of_a_choice_is_in_its_identity(group, choice):
    settings = read_settings(CONF / group / f"{choice}.yaml")

    def identity(changed):
        parts = {"config": {group: settings | changed}, "sources": {group: {"files": {}}}}
        run = SimpleNamespace(**parts, **{group: SimpleNamespace(VERSION=3)})
        return key_of(Experiment.identity(run, group))

    for name in settings.keys() - set(EXECUTION):
        assert identity({name: "one"}) != identity({name: "other"}), name


OWN = """
import torch
from vqexp.adversaries import Oblivious
from vqexp.attacks import RandomNoise
class Attack(RandomNoise):
    def __init__(self, *, source=0, packages=0, files=0, parts=0, **settings):
        super().__init__(**settings)
class Adversary(Oblivious):
    def __init__(self, *, source=0, packages=0, files=0, parts=0, **settings):
        super().__init__(**settings)
class Net(torch.nn.Sequential):
    def __init__(self, num_classes, seed=0, data=0, test=0, defense=0, training=0, source=0):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))
"""
KEYS = {
    ("attack", "Attack"): (("source", "packages", "files", "parts"), lambda stages: stages.adversarial_keys),
    ("adversary", "Adversary"): (("source", "packages", "files", "parts"), lambda stages: stages.view_key),
    ("classifier", "Net"): (
        ("seed", "data", "test", "defense", "training", "source"),
        lambda stages: stages.classifier_key,
    ),
}


@pytest.mark.parametrize(("group", "kind"), KEYS)
def test_settings_of_ones_own_may_have_the_names_of_what_a_key_is_made_of(
    group, kind, config, tmp_path, monkeypatch
):
    (tmp_path / "named.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    names, key = KEYS[group, kind]
    settings = [[], *([f"+{group}.{name}={value}"] for name in names for value in (1, 2))]
    found = [Stages(prepare(config(f"{group}._target_=named.{kind}", *more))) for more in settings]
    assert len({str(key(stages)) for stages in found}) == len(found)
    assert len({record_key(stages) for stages in found}) == len(found)


def test_each_version_of_autoattack_has_images_of_its_own(config):
    attacks = ("attack=autoattack", "attack=autoattack_packaged")
    versions = [(attack, version) for attack in attacks for version in ("standard", "plus")]
    versions.append(("attack=autoattack_packaged", "rand"))
    runs = [
        config(attack, f"attack.version={version}", "adversary=oblivious") for attack, version in versions
    ]
    assert len({Stages(prepare(run)).adversarial_keys[0] for run in runs}) == len(versions)
