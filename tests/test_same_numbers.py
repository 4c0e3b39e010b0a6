"""What a run measures does not change with the structure of the code.

`same_numbers.json` holds the means that version 0.2.0 measured (commit 9a9560e) for these settings. On one
machine they are equal to the last digit; elsewhere rounding may turn one image of 24.
"""

import json
from pathlib import Path

import pytest

from vqexp.core.config import finite
from vqexp.pipeline import read, run

EXPECTED = json.loads((Path(__file__).parent / "same_numbers.json").read_text())
CELLS = {
    "oblivious": ["defense=swrd"],
    "eot": ["defense=prd", "adversary=eot", "adversary.samples=3", "attack.restarts=2", "attack.keep=2"],
    "known": ["defense=randdisc", "adversary=known_randomness"],
    "autoattack": ["defense=none", "attack=autoattack", "attack.steps=5", "attack.queries=20"],
    "autoattack_random": ["defense=swrd", "adversary=ste", "attack=autoattack", "attack.steps=3"],
    "adversarial": ["defense=none", "training=pgd_at", "attack=fgsm"],
    "quantized": ["defense=prd", "training=quantized", "attack=mifgsm"],
    "query": ["adversary=query", "adversary.samples=2", "attack=square", "attack.queries=20"],
    "soft": ["defense=prd", "adversary=soft"],
    "transfer": ["adversary=transfer"],
    "gradients": ["adversary=exact", "metric=gradients"],
    "certified": ["defense=prd", "metric=certified"],
    "denoising": ["metric=denoising"],
    "kl": [
        *("defense=prd", "metric=kl_bound", "metric.samples=40", "metric.montecarlo=50"),
        *("metric.components=2", "metric.codebooks=2", "metric.assignments=20", "metric.votes=10"),
        "dataset.n=2",
    ],
}


@pytest.mark.parametrize("name", CELLS)
def test_the_numbers_are_those_of_before(config, name):
    metrics = read(run(config(*CELLS[name], "classifier.width=32"))).metrics
    means = {each: finite(estimate.mean) for each, estimate in metrics.items()}
    assert means == {
        each: mean if mean is None else pytest.approx(mean, rel=0.02, abs=0.05)
        for each, mean in EXPECTED[name].items()
    }
