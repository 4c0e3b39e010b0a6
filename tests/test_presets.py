"""Presets: what a paper fixes for a dataset is the default there, and the command line may choose another."""

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vqexp import results
from vqexp.core.components import build
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.pipeline.older import upgraded
from vqexp.reports.spec.choices import chosen_by, merged, read_settings

register_resolvers()
PUBLISHED = CONF.parent / "results" / "records.jsonl.gz"
NAMES = sorted(f"{path.parent.name}/{path.stem}" for path in CONF.glob("preset/*/*.yaml"))


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


# eps, PGD's steps, epochs, swRD's s, k, sigma, beta, pixel_max: journal, section 6.1; SVHN: arXiv, 4.1
PAPERS = {
    "mnist": (0.31, 40, 25, (2, 2, 4 / 255, 5, 1), "resnet18"),
    "cifar10": (8 / 255, 20, 200, (3, 25, 4 / 255, 2, 1), "resnet18"),
    "cifar100": (8 / 255, 20, 200, (3, 35, 4 / 255, 2, 1), "wide_resnet"),
    "imagenet": (4 / 255, 20, 0, (3, 30, 4, 0.1, 255), "efficientnet_v2_s"),
    "svhn": (8 / 255, 20, 200, (4, 2, 4, 0.5, 255), "resnet18"),
}


@pytest.mark.parametrize("dataset", PAPERS)
def test_a_dataset_has_its_papers_values_without_a_word(dataset):
    plain = resolved(composed(f"dataset={dataset}", "defense=swrd", "attack=pgd", "training=standard"))
    found = tuple(plain["defense"][name] for name in ("s", "k", "sigma", "beta", "pixel_max"))
    classifier = plain["classifier"]["_target_"].rsplit(".", 1)[1]
    attack = plain["attack"]
    assert (attack["eps"], attack["steps"], plain["training"]["epochs"], found, classifier) == PAPERS[dataset]
    assert attack["step_size"] == pytest.approx(attack["eps"] / (20 if dataset == "mnist" else 10))


def test_another_preset_and_another_classifier_are_a_choice():
    chosen = ("preset=arxiv/mnist", "classifier=small_cnn", "metric=kl_bound")
    plain = resolved(composed("dataset=mnist", *chosen))
    assert (plain["defense"]["beta"], plain["attack"]["eps"], plain["metric"]["components"]) == (1, 0.32, 2)
    assert plain["defense"]["k"] == 2  # the journal's, which the arXiv version does not change
    assert plain["classifier"]["_target_"] == "vqexp.classifiers.small_cnn"
    assert resolved(composed("preset.eps=0.05"))["attack"]["eps"] == 0.05


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_serves_every_attack_and_training(name):
    chosen = (f"dataset={Path(name).name}", f"preset={name}", "training=pgd_at")
    plain = resolved(composed(*chosen, "training.epochs=1"))  # ImageNet's f comes trained
    assert 0 < plain["preset"]["eps"] < 1 <= 10 * plain["preset"]["eps_l2"]
    training = build("training", plain["training"])
    assert training.objective.inner.eps == plain["attack"]["eps"] == plain["preset"]["eps"]
    stepper = training.stepper([{"params": [torch.nn.Parameter(torch.zeros(1))]}], 10, torch.device("cpu"))
    assert set(stepper.state_dict()) == {"optimizer", "schedule", "scaler"}


def test_cifar100_is_trained_in_the_steps_of_the_wide_resnets():
    recipe = build("training", resolved(composed("dataset=cifar100"))["training"])
    stepper = recipe.stepper([{"params": [torch.nn.Parameter(torch.zeros(1))]}], 10, torch.device("cpu"))
    state = stepper.state_dict()
    assert sorted(state["schedule"]["milestones"]) == [600, 1200, 1600]
    (group,) = state["optimizer"]["param_groups"]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.9, False)
    assert (group["weight_decay"], state["schedule"]["gamma"]) == (5e-4, 0.2)


def test_where_a_preset_is_silent_a_defense_has_settings_of_its_own():
    plain = resolved(composed("preset=base", "defense=swrd"))
    found = {name: plain["defense"][name] for name in ("s", "k", "sigma", "tau", "beta", "pixel_max")}
    assert found == {"s": 3, "k": 25, "sigma": 4 / 255, "tau": 4 / 255, "beta": 2, "pixel_max": 1}


def test_a_dataset_config_of_your_own_needs_nothing_but_data(vqexp, tmp_path):
    (tmp_path / "dataset").mkdir()
    own = "_target_: vqexp.data.Digits\nname: mine\nshape: [1, 8, 8]\nnum_classes: 10\nn: 8\nseed: 0\n"
    (tmp_path / "dataset" / "mine.yaml").write_text(own)
    settings = ("dataset=mine", "scale=smoke", "training.epochs=1", "attack=fgsm")
    status, out, err = vqexp("--config-dir", str(tmp_path), *settings)
    assert (status, err) == (0, "")
    record = json.loads(Path(out.rstrip().rsplit("record: ", 1)[1]).read_text())
    assert record["config"]["attack"]["eps"] == record["config"]["preset"]["eps"] == 8 / 255


def test_a_preset_that_does_not_exist_is_told_with_those_that_do(vqexp):
    known = ", ".join(sorted([*NAMES, "base"]))
    for name in ("vq/cifar11", "cifar10"):
        status, out, err = vqexp(f"preset={name}")
        assert (status, out) == (2, "")
        assert err == f"vqexp: preset={name} does not exist; choose one of {known}\n"


CHOICES = [
    ("dataset", "imagenet"),
    ("defense", "swrd"),
    ("classifier", "wrn34_10"),
    ("classifier", "resnet50"),
    *(("preset", name) for name in NAMES),
]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_what_is_read_without_hydra_is_what_hydra_composes(group, choice):
    config = OmegaConf.to_container(composed(f"{group}={choice}"))
    assert read_settings(CONF / group / f"{choice}.yaml") == config[group]
    for name, chosen in chosen_by(CONF / group / f"{choice}.yaml").items():
        assert read_settings(CONF / name / f"{chosen}.yaml") == config[name]


def test_tables_and_figures_share_one_header():
    for kind, name in (("table", "vq_table1"), ("figure", "vq_figure4")):
        config = OmegaConf.to_container(composed(f"{kind}={name}"))
        assert read_settings(CONF / kind / f"{name}.yaml") == config[kind]
        assert config[kind]["only_rows"] is config[kind]["only_columns"] is None


def test_settings_of_a_file_come_before_those_that_it_builds_on():
    below = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merged(below, {"a": {"b": 3}, "d": [4]}) == {"a": {"b": 3, "c": 2}, "d": [4]}
    assert below == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_older_records_are_read_with_a_preset():
    """It holds what stood among their datasets' settings."""
    for record in results.records(PUBLISHED):
        dataset, preset = record.config["dataset"], record.config["preset"]
        assert not {"eps", "pgd", "swrd", "standard"} & set(dataset)
        assert {"eps", "pgd", "standard"} <= set(preset)


def test_what_an_older_audit_was_told_is_told_of_the_preset():
    found = upgraded(
        {
            "config": {"dataset": {"name": "digits", "eps": 0.3}},
            "overrides": ["dataset.eps=0.3", "attack.eps='${mul:2,${dataset.eps}}'", "dataset.n=8"],
            "metrics": {},
        }
    )
    assert found["overrides"] == ["preset.eps=0.3", "attack.eps='${mul:2,${preset.eps}}'", "dataset.n=8"]
    assert found["config"] == {"dataset": {"name": "digits"}, "preset": {"eps": 0.3}}
