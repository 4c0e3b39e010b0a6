"""RobustBench's model zoo (https://robustbench.github.io): published robust classifiers, by name."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from torch import nn

from vqexp.core.errors import MissingError, WorkError, one_line, one_of, require

DATASETS = ("cifar10", "cifar100", "imagenet")
THREAT_MODELS = ("Linf", "L2")


def robustbench(
    shape: Sequence[int],
    num_classes: int,
    name: str,
    dataset: str,
    threat_model: str = "Linf",
    weights: str = "zoo",
    root: str = "models",
    download: bool = False,
) -> nn.Module:
    """The zoo's model `name`: images (N, C, H, W) in [0, 1] to logits (N, num_classes).

    Its normalization is part of it. Weights are read from `<root>/<dataset>/<threat_model>/<name>.pt`, or
    fetched to there if `download` is set. Raises `ConfigError` for a dataset that the zoo does not have,
    `MissingError` where the extra, the name or the weights are not there, `WorkError` if they cannot be read.
    """
    one_of("classifier.threat_model", threat_model, THREAT_MODELS)
    one_of("classifier.weights", weights, ("zoo",))
    require(
        dataset in DATASETS, f"classifier=robustbench has models for {', '.join(DATASETS)}, not for {dataset}"
    )
    utils = zoo()
    known = utils.all_models[utils.BenchmarkDataset(dataset)][utils.ThreatModel(threat_model)]
    if name not in known:
        raise MissingError(
            f"the installed robustbench has no {dataset} {threat_model} model {name}; newer ones are in "
            f"git+https://github.com/RobustBench/robustbench; it has {', '.join(known)}"
        )
    path = Path(root).expanduser() / dataset / threat_model / f"{name}.pt"
    files = (
        [path]
        if not isinstance(known[name]["gdrive_id"], list)
        else sorted(path.parent.glob(f"{path.name}_m*"))
    )
    if not download and not (files and all(file.is_file() for file in files)):
        raise MissingError(
            f"the weights of {name} are not at {path}: add classifier.download=true to fetch them, or name "
            "their folder in classifier.root or VQEXP_ZOO"
        )
    try:
        return utils.load_model(name, model_dir=root, dataset=dataset, threat_model=threat_model)
    except Exception as error:  # no network, a broken file, a page in place of a file
        raise WorkError(f"RobustBench cannot load {name}: {one_line(error)}") from error


def zoo() -> ModuleType:
    """`robustbench.utils`; raises `MissingError` where the extra is not installed."""
    try:
        return importlib.import_module("robustbench.utils")
    except ImportError as error:
        raise MissingError(
            f"classifier=robustbench needs an extra, pip install 'vqexp[zoo]' ({one_line(error)})"
        ) from error
