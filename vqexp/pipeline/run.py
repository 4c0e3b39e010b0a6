"""One run, from a config to a record."""

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from vqexp.metrics import Outcomes
from vqexp.pipeline.experiment import Experiment, prepare
from vqexp.pipeline.record import write_record
from vqexp.pipeline.stages import Evaluation, Stages


def run(config: DictConfig, group: str | None = None) -> Path:
    """Do what `config` says and return the record's path; `group` names the sweep, for the logger.

    Raises `ConfigError` before any work if a setting is wrong, `WorkError` for a fault during work.
    """
    return run_experiment(prepare(config), group)


def run_experiment(experiment: Experiment, group: str | None = None) -> Path:
    """`run` for components that are already built and checked."""
    logger, config = experiment.logger, experiment.config
    name = "-".join(
        config[part]["_target_"].rsplit(".", 1)[-1] for part in ("defense", "adversary", "attack")
    )
    logger.start(config, group, f"{config['dataset']['name']}-{name}", str(experiment.store.root))
    stages = Stages(experiment)
    outcomes, counts = measure(stages)
    metrics = experiment.metric.reduce(outcomes)
    path = write_record(stages, metrics, counts, _facts(stages))
    logger.finish({name: estimate.mean for name, estimate in metrics.items()} | {"record": str(path)})
    return path


def measure(stages: Stages) -> tuple[Outcomes, dict[str, torch.Tensor]]:
    """All evaluations that the metrics need, and the counts per image that the record keeps.

    `report` draws are what is reported; `select` draws, which are others, serve choices among attacks.
    """
    metric, attack = stages.experiment.metric, stages.experiment.attack
    evaluations: dict[str, Evaluation] = {}
    undefended: dict[str, torch.Tensor] = {}
    kinds = ("natural", "adversarial") if attack.perturbs else ("natural",)
    for kind in kinds:
        adversarial = kind == "adversarial"
        plain = stages.evaluate(adversarial=adversarial, defended=False, purpose="report", runs=1)
        undefended[kind] = plain.correct
        for purpose, runs in (("select", metric.select_runs), ("report", metric.runs)):
            evaluations[f"{kind}_{purpose}"] = stages.evaluate(
                adversarial=adversarial, defended=True, purpose=purpose, runs=runs
            )
    counts = {"ids": stages.images.ids, "labels": stages.images.labels}
    for name, evaluation in evaluations.items():
        counts[f"{name}_correct"] = evaluation.correct.sum(0)
        counts[f"{name}_margin"] = evaluation.margin.mean(0)
        counts[f"{name}_runs"] = torch.tensor(len(evaluation.correct))
    counts |= {f"undefended_{kind}_correct": correct[0] for kind, correct in undefended.items()}
    natural = Outcomes(evaluations["natural_report"].correct, undefended["natural"])
    if not attack.perturbs:
        return natural, counts
    known = stages.adversarial
    outcomes = Outcomes(
        natural=natural.natural,
        undefended_natural=natural.undefended_natural,
        adversarial=evaluations["adversarial_report"].correct,
        undefended_adversarial=undefended["adversarial"],
        perturbed=torch.cat([part.tensors["perturbed"] for part in known]),
        flags=torch.cat([part.tensors["autoattack_flags"] for part in known])
        if "autoattack_flags" in known[0].tensors
        else None,
    )
    return outcomes, counts


def _facts(stages: Stages) -> dict[str, Any]:
    """What the attack said: its largest violation of ball and box, its log."""
    facts: dict[str, Any] = {"adversary": stages.experiment.adversary.summary}
    if stages.experiment.attack.perturbs:
        facts["violation"] = max(part.facts["violation"] for part in stages.adversarial)
        facts["logs"] = [part.facts["log"] for part in stages.adversarial if "log" in part.facts]
    return facts


def read_record(path: Path) -> dict[str, Any]:
    """A record as plain data."""
    return json.loads(path.read_text())
