"""The small table that a run prints."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from vqexp.core.text import NORMS, defense_name, interval, size_of, value
from vqexp.pipeline.record import Record


def print_summary(record: Record, path: Path) -> None:
    """Prints every estimate of the record, in the metric's order, and as the last line `record: PATH`."""
    config = record.config
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
    for name, estimate in record.metrics.items():
        numbers = (value(estimate), interval(estimate), str(estimate.runs), str(estimate.n))
        table.add_row(estimate.title or name, *numbers)
    console = Console(highlight=False, width=max(Console().width, 90))
    console.print(table)
    for fact in ("adversary", "note"):
        if record.facts.get(fact):
            console.print(record.facts[fact], soft_wrap=True)
    if record.smoke:
        console.print("scale=smoke: a check of the machinery, no measurement")
    print(f"record: {path}", flush=True)
