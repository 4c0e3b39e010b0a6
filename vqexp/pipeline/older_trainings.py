"""Upgrading the trainings of older records: objective, inner attack and recipe were one class."""

from typing import Any

# a training's: its objective's, and the settings of its inner attack
OBJECTIVES = {
    "vqexp.training.Standard": "vqexp.training.CrossEntropy",
    "vqexp.training.Quantized": "vqexp.training.Quantized",
    "vqexp.training.Adversarial": "vqexp.training.PGDAT",
}
INNER = {"eps": "eps", "attack_steps": "steps", "step_size": "step_size"}


def composed(flat: dict[str, Any]) -> dict[str, Any]:
    """Returns today's settings of a training whose objective, inner attack and recipe were one class."""
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
