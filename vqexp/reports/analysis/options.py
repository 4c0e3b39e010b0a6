"""The overrides with which a table's command gives the records of a section again."""

from collections.abc import Mapping
from typing import Any

from vqexp.reports.analysis.classifier import classifier_name, is_trained
from vqexp.reports.analysis.gather import Section
from vqexp.reports.spec.table import Table

# the settings that a training's command names
RECIPE = ("epochs", "lr", "batch_size", "weight_decay", "optimizer", "schedule", "augment", "amp")
CHECKPOINTS = "'classifier.checkpoint=WEIGHTS/${dataset.name}.safetensors'"  # where each dataset has its own


def options(table: Table, section: Section) -> str:
    """Returns the overrides, beside the table's own, that give these records.

    A training recipe is among them only if all classifiers that were trained share it.
    """
    cells = section.records
    if not cells:
        return "scale=cpu"
    config = next(iter(cells.values())).config
    told = {text for r in cells.values() for text in r.overrides if text.startswith("scale.")}
    found = [f"scale={config['scale']['name']}", *sorted(told)]
    given = {r.classifier["checkpoint"] for r in cells.values() if r.classifier.get("checkpoint")}
    alone = len({classifier_name(*every) for every in section.measured.values()}) == 1
    trained = [r.classifier for r in cells.values() if is_trained(r)]
    recipes = [_recipe(identity) for identity in trained]
    if given:
        found.append(CHECKPOINTS if len(given) > 1 else "classifier.checkpoint=FILE")
    elif trained and alone:
        found.append(f"classifier={trained[0]['_target_'].rsplit('.', 1)[-1]}")
    if recipes and (given or alone) and all(r == recipes[0] for r in recipes):
        found += recipes[0]
    counts = {
        f"dataset.n={config['dataset']['n']}": {r.config["dataset"]["n"] for r in cells.values()},
        f"metric.runs={config['metric'].get('runs')}": {
            r.config["metric"].get("runs") for r in cells.values()
        },
    }
    usual = {f"metric.runs={config['scale']['runs']}", "metric.runs=None", *table.common}
    usual |= {f"dataset.n={record.config['scale']['n']}" for record in cells.values()}
    if table.grid:
        grid = config["scale"].get("grid", {})
        usual |= {f"dataset.n={grid.get('n')}", f"metric.runs={grid.get('runs')}"}
    found += [option for option, values in counts.items() if option not in usual and len(values) == 1]
    seeds = sorted({record.config.get("seed", 0) for record in section.every})
    if seeds not in ([], [0]):
        found.append(f"seed={','.join(map(str, seeds))}")
    return " ".join(found)


def _recipe(identity: Mapping[str, Any]) -> list[str]:
    """Returns the overrides that train such an f."""
    recipe = identity["training"]
    found = [text for name in RECIPE if name in recipe for text in _told(f"training.{name}", recipe[name])]
    # tables have cells without such a training too, whose settings know no start
    found += ["++training.start=FILE"] if recipe.get("start") else []
    images = identity["data"][0]
    return found + ([f"dataset.train_n={images}"] if images else [])


def _told(name: str, value: Any) -> list[str]:
    """The overrides that set `name`; a component's settings one by one."""
    if isinstance(value, Mapping):
        return [text for key, entry in value.items() for text in _told(f"{name}.{key}", entry)]
    return [f"{name}={value}"]
