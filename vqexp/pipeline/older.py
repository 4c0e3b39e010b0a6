"""Upgrading older records: names of components, titles of estimates, intervals that ignored shared draws."""

import re
from typing import Any

from vqexp.core.estimate import FRACTION, student, widened
from vqexp.pipeline.older_trainings import OBJECTIVES, composed

FORMAT = 3  # of the records that a run writes; those without a number are of format 1

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
# defenses whose draws all images share, which the intervals of older records ignore
SHARED = ("vqexp.defenses.CTRW", "vqexp.defenses.RNA", "vqexp.defenses.RPF")
# what older records have among the dataset's settings, and newer ones among the preset's
OF_PRESET = ("eps", "eps_l2", "pgd", "randdisc", "prd", "swrd", "kl", "standard")
# the title of each estimate that a record of format 1 may have
TITLES = {
    "perturbed": "images perturbed",
    "autoattack_flags": "AutoAttack's own verdict on its view",
    "robust_accuracy_on_perturbed": "robust accuracy, on perturbed images",
    "undefended_natural_accuracy": "natural accuracy, no defense",
    "undefended_accuracy": "robust accuracy, no defense",
    "certified_accuracy": "certified accuracy (journal, Proposition 1)",
    "certified": "images certified above zero",
    "kl_full": "KL of codebooks, full covariances",
    "kl_full_floor": "KL of codebooks, full covariances: its floor, two sample sets of the same x",
    "kl_diag": "KL of codebooks, diagonal covariances",
    "kl_diag_floor": "KL of codebooks, diagonal covariances: its floor, two sample sets of the same x",
    "kl_second_term": "second term of Lemma 1",
    "kl_second_term_floor": "second term of Lemma 1: its floor, x against itself",
    "kl_second_term_limit": "second term of Lemma 1: its limit, by data processing",
    "theorem1_full": "Theorem 1 applies, full covariances",
    "theorem1_diag": "Theorem 1 applies, diagonal covariances",
    **{
        f"{kind}_accuracy{name}": f"{kind} accuracy{title}"
        for kind in ("natural", "robust")
        for name, title in {
            "": "",
            "_on_correct": ", where f is right",
            "_vote": ", by majority vote",
            "_all": ", right in every draw",
        }.items()
    },
    **{
        f"{score}_{kind}": f"{score.upper()} {title}"
        for score in ("psnr", "ssim")
        for kind, title in {
            "undefended": "of A(x)",
            "defended": "of the quantized A(x)",
            "natural": "of the quantized x",
            "between": "between the two quantized",
        }.items()
    },
    **{
        f"{kind}_gradient_{name}": f"{title}, {kind} images"
        for kind in ("natural", "adversarial")
        for name, title in {
            "norm": "gradient norm",
            "all_zero": "gradients that are zero",
            "zero_entries": "entries that are zero",
            "not_finite": "gradients that are NaN or infinite",
            "cosine": "cosine of two draws' gradients",
        }.items()
    },
}


def upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns a record, as JSON holds it, in today's format; raises `ValueError` if it has a later one.

    What `raw` holds is changed in place: a copy would take longer than all else of reading a record.
    """
    found = raw.get("format", 1)
    if found > FORMAT:
        raise ValueError(f"it has format {found}, and this version of vqexp reads up to {FORMAT}")
    record = {**raw, "format": FORMAT}
    _rename(record["config"])
    if "preset" not in record["config"]:
        _take_preset(record)
    if found < 2:
        _add_titles(record["metrics"])
    if found < 3 and record["config"].get("defense", {}).get("_target_") in SHARED:
        _share_draws(record["metrics"])
    _close_intervals(record["metrics"])
    return record


def _rename(config: dict[str, Any]) -> None:
    """Gives each component the name and the settings that it has today."""
    for settings in config.values():
        if isinstance(settings, dict):
            settings |= MOVED.get(str(settings.get("_target_")), {})
    for group in (config, config.get("adversary", {})):  # the adversary's: a surrogate's
        if (group.get("training") or {}).get("_target_") in OBJECTIVES:
            group["training"] = composed(group["training"])


def _take_preset(record: dict[str, Any]) -> None:
    """Moves the settings that a paper fixes from the dataset to the preset."""
    dataset = record["config"]["dataset"]
    record["config"]["preset"] = {name: dataset.pop(name) for name in OF_PRESET if name in dataset}
    places = re.compile(rf"\bdataset\.({'|'.join(OF_PRESET)})\b")
    record["overrides"] = [places.sub(r"preset.\1", text) for text in record["overrides"]]


def _add_titles(metrics: dict[str, dict[str, Any]]) -> None:
    for name, estimate in metrics.items():
        estimate.setdefault("unit", FRACTION)
        estimate["title"] = TITLES.get(name, name.replace("_", " "))


def _share_draws(metrics: dict[str, dict[str, Any]]) -> None:
    """Joins to each interval over images that of the draws that these share."""
    for estimate in metrics.values():
        ends = estimate["ci95"]
        if estimate["std"] and ends and None not in ends:
            half = student(estimate["std"], estimate["runs"])
            ends = widened(estimate["mean"], ends, half, estimate["unit"])
            estimate |= {"shared": True, "ci95": list(ends)}


def _close_intervals(metrics: dict[str, dict[str, Any]]) -> None:
    """Makes sigma's own values exact; older records gave them the unknown interval of a single image."""
    for name, estimate in metrics.items():
        if name.startswith("sigma_") and estimate["ci95"] in ([None, None], None):
            estimate["ci95"] = [estimate["mean"]] * 2
