"""From objects to the settings of a run: a model, perhaps a defense before it, images and labels."""

import copy
import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vqexp.audits.probe import probe
from vqexp.classifiers import LogProbabilities
from vqexp.core.components import own_choices
from vqexp.core.errors import check_number, one_of, require
from vqexp.core.held import hold
from vqexp.core.inputs import check_images, check_labels
from vqexp.core.modes import freeze
from vqexp.core.random_module import name_of
from vqexp.data.torch_dataset import MOST_BYTES
from vqexp.defenses import Defended, Defense, adapted, defend
from vqexp.reports.spec.settings import to_overrides

BATCH = 100  # images read at once of a torch dataset
LOOKED_AT = 16  # images, when a model is measured
NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Subject:
    """settings: overrides with which a run finds all of it. notes: what was measured of it, a line each."""

    name: str
    settings: list[str]
    notes: list[str]
    images: Tensor
    labels: Tensor


def subject(
    model: nn.Module,
    images: Any,
    labels: Tensor | None,
    *,
    defense: nn.Module | None,
    eps: float,
    norm: str,
    seed: int,
    store: str | Path | None,
) -> Subject:
    """Returns what `vqexp.audit` and `vqexp.evaluate` are to attack; both say what their arguments are.

    Measures the model and the defense first. Raises `ConfigError` for what cannot be attacked.
    """
    images, labels = gathered(images, labels)
    require(isinstance(model, nn.Module), f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    one_of("norm", norm, NORMS)
    check_number("eps", eps, above=0, high=1 if norm == "linf" else math.sqrt(images[0].numel()))
    device = next((part.device for part in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    some, their_labels = images[:LOOKED_AT].to(device), labels[:LOOKED_AT].to(device)
    if isinstance(model, Defended) and defense is None:
        whole = model
        model, defense = whole.get_submodule("classifier"), whole.get_submodule("defense")
    name, found = name_of(model), probe(model, some, their_labels)
    check_labels(labels, len(images), found.classes)
    notes = [f"model {name}: {'; '.join(found.lines())}"]
    model = freeze(copy.deepcopy(model))
    if found.probabilities:
        model = LogProbabilities(model)
    if defense is not None and found.random:  # two kinds of randomness are one, inside the model
        name, model, defense = f"{name_of(defense)} before {name}", defend(model, defense), None
        found = probe(model, some, their_labels)
        notes.append(f"the model being random, it and the defense count as one: {'; '.join(found.lines())}")
    placed: dict[str, Any] = {"defense": "none"}
    if defense is not None:
        defense, told = _measured(defense, model, some, their_labels)
        notes.append(told)
        placed = {
            "defense._target_": "vqexp.defenses.in_memory",
            "defense.key": hold(defense),
            "defense.name": name_of(defense),
            **_strength(defense),
        }
    elif found.random:
        placed = {
            "defense._target_": "vqexp.defenses.RandomByItself",
            "defense.differentiable": found.differentiable,
            "defense.name": name,
        }
    settings = {
        "dataset": "in_memory",
        "dataset.key": hold((images, labels)),
        "dataset.shape": list(images.shape[1:]),
        "dataset.num_classes": found.classes,
        "classifier._target_": "vqexp.classifiers.in_memory",
        "classifier.key": hold(model),
        **placed,
        "preset.eps" if norm == "linf" else "preset.eps_l2": float(eps),
        **({"++preset.norm": norm} if norm != "linf" else {}),
        "seed": seed,
        "device": str(device),
        "store.root": str(store or temporary_store().name),
    }
    return Subject(name, own_choices(to_overrides(settings)), notes, images, labels)


def gathered(images: Any, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns images (N, C, H, W) float32 in [0, 1] and labels (N,) int64, on the CPU.

    images: such a tensor, a torch dataset, or whatever gives batches (images, labels), such as a DataLoader;
    both are read to their end. Raises `ConfigError` for what is neither, or for more than 4 GiB.
    """
    if isinstance(images, Dataset) and hasattr(images, "__len__"):
        images = DataLoader(images, batch_size=BATCH)
    if not isinstance(images, Tensor):
        kind = f"images are of type {type(images).__name__}"
        require(isinstance(images, Iterable), f"{kind}; they must be a tensor, a DataLoader or a dataset")
        told = f"{kind}; beside labels they must be a tensor: leave labels out where the images give them"
        require(labels is None, told)
        batches, size = [], 0
        for batch in images:
            pair = isinstance(batch, tuple | list) and len(batch) == 2
            require(
                pair and all(isinstance(part, Tensor) for part in batch), "batches must be (images, labels)"
            )
            batches.append(batch)
            size += batch[0].nbytes
            require(size <= MOST_BYTES, "the images take more than 4 GiB; give a sample of them")
        require(batches, "there are no images")
        images, labels = (torch.cat([batch[place] for batch in batches]) for place in (0, 1))
    found = "missing" if labels is None else f"of type {type(labels).__name__}"
    require(isinstance(labels, Tensor), f"labels are {found}; they must be an int64 tensor (N,)")
    assert labels is not None
    check_images(images)
    check_labels(labels, len(images))
    return images.detach().cpu().float().contiguous(), labels.cpu()


@cache
def temporary_store() -> "tempfile.TemporaryDirectory[str]":
    """A store that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="vqexp-")


def _strength(defense: nn.Module) -> dict[str, Any]:
    """The setting that the defense declares as its strength, if it has it."""
    name = getattr(defense, "strength", None)
    return {f"defense.{name}": getattr(defense, name)} if name and hasattr(defense, name) else {}


def _measured(defense: nn.Module, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[nn.Module, str]:
    """A copy of the defense that declares what was measured of it, and a line that tells it."""
    require(isinstance(defense, nn.Module), f"defense is a {type(defense).__name__}; it must be a module")
    name, defense = name_of(defense), freeze(copy.deepcopy(defense))
    if adapted(defense).installs:
        return defense, f"defense {name}: inside the model, where it was not measured"
    found = probe(defend(model, defense), images, labels)
    if not isinstance(defense, Defense):  # the library's own know what they are
        defense.random, defense.differentiable = found.random, found.differentiable  # type: ignore[assignment]
    return defense, f"defense {name}: {'; '.join(found.lines())}"
