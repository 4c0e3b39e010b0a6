"""The small table that a run prints."""

from collections.abc import Collection, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from vqexp.core.text import NORMS, defense_name, interval, size_of, value

TITLES = {
    "natural_accuracy": "natural accuracy",
    "robust_accuracy": "robust accuracy",
    "robust_accuracy_vote": "  by majority vote over draws",
    "robust_accuracy_all": "  right in every draw",
    "robust_accuracy_on_correct": "  on images f gets right",
    "robust_accuracy_on_perturbed": "  on perturbed images",
    "undefended_natural_accuracy": "natural accuracy, no defense",
    "undefended_accuracy": "robust accuracy, no defense",
    "perturbed": "images perturbed",
    "autoattack_flags": "AutoAttack's own verdict on its view",
    "certified_accuracy": "certified accuracy (journal, Proposition 1)",
    "certified": "  images certified above zero",
    "psnr_undefended": "PSNR of A(x)",
    "psnr_defended": "PSNR of the quantized A(x)",
    "psnr_natural": "PSNR of the quantized x",
    "psnr_between": "PSNR between the two quantized",
    "ssim_undefended": "SSIM of A(x)",
    "ssim_defended": "SSIM of the quantized A(x)",
    "ssim_natural": "SSIM of the quantized x",
    "ssim_between": "SSIM between the two quantized",
    "kl_full": "KL of codebooks, full covariances",
    "kl_full_floor": "  its floor: two sample sets of the same x",
    "kl_diag": "KL of codebooks, diagonal covariances",
    "kl_diag_floor": "  its floor: two sample sets of the same x",
    "kl_second_term": "second term of Lemma 1",
    "kl_second_term_floor": "  its floor: x against itself",
    "kl_second_term_limit": "  its limit, by data processing",
    "theorem1_full": "Theorem 1 applies, full covariances",
    "theorem1_diag": "Theorem 1 applies, diagonal covariances",
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


def provenance(records: Collection[Mapping[str, Any]]) -> str:
    """Versions, commits, devices, dates, and how far an attack ever left the ball or the box."""
    found = [record["provenance"] for record in records]
    commits = sorted({f"{p['commit'][:10]}{' (dirty)' if p['dirty'] else ''}" for p in found if p["commit"]})
    dates = sorted(p["date"][:10] for p in found)
    worst = max(record["facts"].get("violation", 0.0) for record in records)
    restored = sum("restored_from" in p for p in found)
    told = f" Of {len(found)} records {restored} are put together again from the CSV." if restored else ""
    return (
        f"Commit {', '.join(commits)}; {_versions(found)}{', '.join(sorted({p['device'] for p in found}))}; "
        f"torch {', '.join(sorted({p['libraries']['torch'] for p in found}))}; {dates[0]} to {dates[-1]}; "
        f"largest violation of the ball or the box {worst:.1e}.{told}"
    )


def _versions(found: Collection[Mapping[str, Any]]) -> str:
    """`vqexp 0.1.0; stages attack 3, metric 1 and 2; `, of records that know them."""
    packages = sorted({p["version"] for p in found if p.get("version")})
    stages: dict[str, set[int]] = {}
    for p in found:
        for group, number in p.get("versions", {}).items():
            stages.setdefault(group, set()).add(number)
    text = f"vqexp {', '.join(packages)}; " if packages else ""
    told = [f"{group} {' and '.join(map(str, sorted(numbers)))}" for group, numbers in sorted(stages.items())]
    return text + (f"stages {', '.join(told)}; " if told else "")


def in_low_precision(record: Mapping[str, Any]) -> bool:
    """Whether the attack saw f in less than float32."""
    return record["config"].get("precision", "float32") != "float32"


def low_precision(records: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Which cells (row, column) of a table were told `precision=bfloat16`, beside the command of all."""
    cells = [", ".join(cell) for cell, record in records.items() if in_low_precision(record)]
    return f" With `precision=bfloat16` besides: {'; '.join(cells)}." if cells else ""


def print_summary(record: dict[str, Any], path: Any) -> None:
    """The record's main figures, and as the last line `record: PATH`."""
    config = record["config"]
    attack = config["attack"]["_target_"].rsplit(".", 1)[-1]
    if "eps" in config["attack"]:
        norm = NORMS.get(config["attack"].get("norm"), "")
        attack += f", {norm}, eps {size_of(config['attack']['eps'])}"
    table = Table(
        title=f"{config['dataset']['name']}: {defense_name(config['defense'])} against {attack}",
        title_justify="left",
    )
    for column in ("", "mean (std)", "95 % interval", "runs", "n"):
        table.add_column(column, justify="right" if column else "left")
    for name, title in TITLES.items():
        estimate = record["metrics"].get(name)
        if estimate:
            row = (value(estimate), interval(estimate), str(estimate["runs"]), str(estimate["n"]))
            table.add_row(title, *row)
    console = Console(highlight=False, width=max(Console().width, 90))
    console.print(table)
    if record["facts"].get("adversary"):
        console.print(record["facts"]["adversary"], soft_wrap=True)
    if record["facts"].get("note"):
        console.print(record["facts"]["note"], soft_wrap=True)
    if record["smoke"]:
        console.print("scale=smoke: a check of the machinery, no measurement")
    print(f"record: {path}", flush=True)
