"""`vqexp.audit`: the audit of a model that exists as an object, by the code behind `-m table=audit`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch import Tensor, nn

from vqexp.core.components import own_choices
from vqexp.core.config import CONF, register_resolvers
from vqexp.core.errors import one_of
from vqexp.core.text import size_of
from vqexp.interface.report import AuditReport
from vqexp.interface.subject import subject
from vqexp.reports.spec.table import AUDIT
from vqexp.reports.sweep.audit import AuditSweep
from vqexp.reports.sweep.composer import composer
from vqexp.reports.sweep.one import run_one

BUDGETS = {"quick": "quick", "standard": "cpu", "full": "paper"}  # -> scale


def audit(
    model: nn.Module,
    images: Any,
    labels: Tensor | None = None,
    *,
    eps: float = 8 / 255,
    norm: str = "linf",
    defense: nn.Module | None = None,
    budget: str = "quick",
    seed: int = 0,
    store: str | Path | None = None,
    settings: Sequence[str] = (),
    told: bool = True,
) -> AuditReport:
    """Returns how robust `model` is against attackers who know all of it, and how far that can be trusted.

    model: images (N, C, H, W) in [0, 1] -> logits (N, classes), fixed or random; one that `vqexp.defend` made
    is taken apart again. images, labels: tensors (N, C, H, W) and (N,), or a DataLoader or a torch dataset
    alone. eps: radius of the ball, > 0, in [0, 1] pixels; norm: `linf` or `l2`. defense: a module on images
    before the model. budget: `quick` (for a ResNet18 and 64 images under two minutes on two cores),
    `standard` (as `scale=cpu`: hours) or `full` (as `scale=paper`: for a GPU). seed: of attacks and draws.
    store: a folder that keeps what was computed, so that the same call goes on where it was; None: until
    Python ends. settings: overrides as on the command line, such as `table.without=["AutoAttack"]`. told:
    print a line a row.

    The model is copied, and judged in evaluation mode on the device that it is on. Raises `ConfigError` for
    what cannot be audited.
    """
    one_of("budget", budget, BUDGETS)
    about = subject(model, images, labels, defense=defense, eps=eps, norm=norm, seed=seed, store=store)
    if told:
        print("\n".join(about.notes), flush=True)
    shared = [f"table={AUDIT}", f"scale={BUDGETS[budget]}", *about.settings, *own_choices(settings)]
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        base = compose("config", overrides=shared)
        sweep = AuditSweep(base, OverridesParser.create().parse_overrides(shared), composer(base, shared))
        result = sweep.result(_run(sweep, told, kept=store is not None))
    radius = size_of(eps) if norm == "linf" else f"{eps:g}"
    more = f", defense={result.config['defense']['name']}" if defense is not None else ""
    call = f'vqexp.audit(model, images, labels, eps={radius}, norm="{norm}", budget="{budget}"{more})'
    return AuditReport(about.name, call, about.notes, result)


def _run(sweep: AuditSweep, told: bool, kept: bool) -> list[Path]:
    """The records of the sweep's jobs; an interruption says what is kept. kept: beyond this process."""
    paths: list[Path] = []
    try:
        for job in sweep.jobs:
            paths.append(run_one(sweep.compose(job), "audit", job, told=told))
    except KeyboardInterrupt:
        until = "" if kept else " until Python ends (with store=DIR, for good)"
        done = f"{len(paths)} of {len(sweep.jobs)} rows, and parts of the next, are kept"
        print(f"vqexp: interrupted; {done}{until}; the same call goes on from there", file=sys.stderr)
        raise
    return paths
