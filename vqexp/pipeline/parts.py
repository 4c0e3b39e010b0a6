"""The component of each group of a run: a target that is not ours is offered what the run knows."""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.core.components import Component, component, is_ours, target_of
from vqexp.core.config import CONF
from vqexp.core.errors import require
from vqexp.data import Dataset
from vqexp.loggers import Logger
from vqexp.pipeline.metric import Metric
from vqexp.training import Training

BATCH = 100  # images a chunk, for an attack that is not ours
AROUND_IMAGES = ("name", "shape", "num_classes", "seed", "n", "train_n")  # settings of every dataset of ours
KINDS: dict[str, type] = {  # what each group's target must give
    "dataset": Dataset,
    "classifier": nn.Module,
    "training": Training,
    "defense": nn.Module,
    "adversary": Adversary,
    "attack": Attack,
    "metric": Metric,
    "logger": Logger,
}
NETWORK = ("mean", "std", "checkpoint", "statistics")  # settings of a classifier around its network


def network(config: Mapping[str, Any]) -> Component:
    """The classifier's component, without what stands around the network."""
    settings = {name: value for name, value in config["classifier"].items() if name not in NETWORK}
    dataset = config["dataset"]
    offered = {"shape": dataset["shape"], "num_classes": dataset["num_classes"]}
    return component("classifier", settings, offered=offered, kinds=(nn.Module,))


def group_component(name: str, config: Mapping[str, Any], at: str | None = None) -> Component:
    """A group's component; a target that is not ours is offered what the run knows.

    at: where in the config its settings stand, if not under the group's name.
    """
    at = at or name
    settings, preset = config[at], config["preset"]
    chosen = name if at == name else f"{name}@{at}"
    require(isinstance(settings, Mapping), f"{at} is {settings!r}; choose one with {chosen}=NAME")
    offered: dict[str, Any] = {}
    if name == "dataset":
        settings = _dataset(settings)
    if name == "attack" and not is_ours(settings.get("_target_")):
        norm = settings.get("norm", "linf")
        radius = preset.get("eps_l2" if norm == "l2" else "eps")
        offered = {"eps": radius, "norm": norm, "batch_size": BATCH, "cost": "light"}
    if name == "adversary":
        offered = {"cost": "single"}
    if name == "defense":
        offered = {"seed": config["seed"]}
    if name == "training" and not is_ours(settings.get("_target_")):
        offered = dict(preset.get("standard", {}))
    known = _of_datasets() if name == "dataset" else ()
    return component(at, settings, offered=offered, known=known, kinds=(KINDS[name],))


def _dataset(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of a torch dataset as those of the `TorchDataset` around it; others as they are."""
    target, factory = settings.get("_target_"), target_of("dataset", settings)
    if is_ours(target) or (inspect.isclass(factory) and issubclass(factory, Dataset)):
        return settings
    around = {name: value for name, value in settings.items() if name in AROUND_IMAGES}
    around["name"] = around.get("name") or str(target).rsplit(".", 1)[-1]
    source = {name: value for name, value in settings.items() if name not in AROUND_IMAGES}
    return {"_target_": "vqexp.data.TorchDataset", **around, "source": source}


@cache
def _of_datasets() -> frozenset[str]:
    """Names of all settings of datasets: one of your own need not take those of the dataset it replaces."""
    paths = (CONF / "dataset").rglob("*.yaml")
    return frozenset(str(name) for path in paths for name in OmegaConf.load(path))
