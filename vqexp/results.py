"""All records as one table."""

import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqexp.core.store import default_root

if TYPE_CHECKING:
    import pandas as pd

# what older records call a component: how it is set now
MOVED: dict[str, dict[str, Any]] = {
    "vqexp.metrics.KLBound": {"_target_": "vqexp.papers.vq.KLBound"},
    "vqexp.metrics.Certified": {"_target_": "vqexp.papers.vq.Certified"},
    "vqexp.adversaries.KnownRandomness": {
        "_target_": "vqexp.adversaries.WhiteBox",
        "draws": "evaluation",
        "select": 10,
    },
}
# a training's: its objective's, and the settings of its inner attack
OBJECTIVES = {
    "vqexp.training.Standard": "vqexp.training.CrossEntropy",
    "vqexp.training.Quantized": "vqexp.training.Quantized",
    "vqexp.training.Adversarial": "vqexp.training.PGDAT",
}
INNER = {"eps": "eps", "attack_steps": "steps", "step_size": "step_size"}

# what older records have among the dataset's settings, and newer ones among the preset's
OF_PRESET = ("eps", "eps_l2", "pgd", "randdisc", "prd", "swrd", "kl", "standard")


def records(source: str | Path | None = None) -> list[dict[str, Any]]:
    """The records of a store, or of a file with one a line such as `results/records.jsonl.gz`, as plain data.

    In the order of their keys; none if there is no such store or file.
    """
    source = Path(source or default_root())
    if source.suffix == ".gz":
        text = gzip.decompress(source.read_bytes()).decode() if source.exists() else ""
        lines = text.splitlines()
    else:
        lines = [path.read_text() for path in sorted((source / "records").glob("[!.]*.json"))]
    return [_upgraded(json.loads(line)) for line in lines]


def _upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the settings that its components have today."""
    config = record["config"]
    if "preset" not in config:
        dataset = config["dataset"]
        config["preset"] = {name: dataset.pop(name) for name in OF_PRESET if name in dataset}
        places = re.compile(rf"\bdataset\.({'|'.join(OF_PRESET)})\b")
        record["overrides"] = [places.sub(r"preset.\1", text) for text in record["overrides"]]
    for settings in config.values():
        if isinstance(settings, dict) and settings.get("_target_") in MOVED:
            settings |= MOVED[settings["_target_"]]
    for group in (config, config.get("adversary", {})):  # the adversary's: a surrogate's
        if (group.get("training") or {}).get("_target_") in OBJECTIVES:
            group["training"] = _training(group["training"])
    return record


def _training(flat: dict[str, Any]) -> dict[str, Any]:
    """Today's settings of a training whose objective, inner attack and recipe were one class."""
    told = dict(flat)
    objective: dict[str, Any] = {"_target_": OBJECTIVES[told.pop("_target_")]}
    objective |= {name: told.pop(name) for name in ("label_smoothing", "defense") if name in told}
    inner = {new: told.pop(old) for old, new in INNER.items() if old in told}
    if inner:
        objective["inner"] = {"_target_": "vqexp.training.InnerAttack", **inner}
    sgd = {name: told.pop(name) for name in ("momentum", "nesterov") if name in told}
    if told["optimizer"] == "sgd" and (sgd["momentum"], sgd["nesterov"]) != (0.9, True):
        told["optimizer"] = {"_target_": "torch.optim.SGD", "_partial_": True, **sgd}
    milestones, gamma = told.pop("milestones", ()), told.pop("gamma", 0.2)
    if told["schedule"] == "step":
        counted = [f"{epoch}*batches" for epoch in milestones]
        target = {"_target_": "torch.optim.lr_scheduler.MultiStepLR", "_partial_": True}
        told["schedule"] = {**target, "milestones": counted, "gamma": gamma}
    return {"_target_": "vqexp.training.Descent", "objective": objective, **told}


def load(source: str | Path | None = None) -> "pd.DataFrame":
    """One row a record, columns such as `config.defense.k` and `metrics.robust_accuracy.mean`.

    source: a store, by default `VQEXP_HOME` or `results/store`, or a file with a record a line. An empty one
    gives an empty table.
    """
    import pandas as pd  # slow to import, and not needed by a run

    return pd.json_normalize(records(source))
