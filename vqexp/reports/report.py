"""`results/`: every table and figure, reported beside measured, from a store's records."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vqexp import results
from vqexp.config import CONF
from vqexp.errors import ConfigError
from vqexp.reports import html, latex, markdown
from vqexp.reports.audit import load_audit
from vqexp.reports.audit_page import audit_pages
from vqexp.reports.gather import Section, classifier_name
from vqexp.reports.material import gather
from vqexp.reports.summary import scale_of
from vqexp.reports.table import AUDIT, read_settings
from vqexp.store import Store, write_atomically


def write(store: str | Path, folder: str | Path) -> list[Path]:
    """Write `README.md`, `index.html`, and a CSV and a LaTeX file a table into `folder`; returns the files.

    Smoke runs are refused as measurements. Raises `ConfigError` if the store has no others.
    """
    folder = Path(folder)
    records = [record for record in results.records(store) if not record["smoke"] and record["reported"]]
    if not records:
        raise ConfigError(f"{store} has no records of tables; `make reproduce-tables` makes them")
    material = gather(records, Path(store), folder)
    texts: dict[str, str] = {}
    entries = [*material.tables, *(e for drawn in material.figures for e in drawn.entries)]
    for entry in entries:
        frame = table_frame(entry.sections)
        if len(frame):
            texts[f"{entry.table.name}.csv"] = frame.to_csv(index=False)
    for entry in material.tables:
        texts[f"tables/{entry.table.name}.tex"] = latex.page(entry)
    pictures = sorted(folder.glob("pictures/*.png"))
    audit = load_audit(read_settings(CONF / "table" / f"{AUDIT}.yaml"))
    audits = audit_pages(audit, records, Store(store))
    texts |= {f"audits/{name}.md": text for name, text in audits.items()}
    texts["README.md"] = markdown.page(material, pictures, audits)
    texts["index.html"] = html.page(material, audits)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, text.encode())
    return [path for drawn in material.figures for path in drawn.files] + [folder / name for name in texts]


<<<<<<< HEAD
def table_frame(sections: Sequence[Section]) -> pd.DataFrame:
    """One line a metric of a measured cell, with provenance; shares are fractions in [0, 1]."""
=======
HEADER = """# Measured beside reported

Written by `make report` from records; the command that fills a table stands above it. `DIR` is a folder of
data sets and `FILE` a checkpoint of the classifier f, named by its SHA-256. All figures in percent: a mean
over the runs (standard deviation), a 95 % Wilson interval over the n images. *where f is right*: the same
over the images that f classifies correctly without attack and defense, which takes out most of f's own
accuracy. *f alone*: f without the defense on the same images. A difference in bold is outside the interval.
"""


def picture_section(path: Path) -> str:
    """A picture that `scripts/pictures.py` drew, with its command."""
    name = path.stem
    command = (
        f"python scripts/pictures.py results/pictures/{path.name} dataset={name} attack=pgd dataset.n=100"
    )
    return f"""
## Pictures, {name}

    VQEXP_DATA=DIR {command} classifier.checkpoint=FILE

Frame solid and blue: f is right about the image; dotted and orange: it is wrong.

![clean, adversarial and quantized images of {name}](pictures/{path.name})
"""


def read_table(path: Path) -> Table:
    """A table's config, apart from its choice of a sweeper."""
    settings = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(settings, dict)
    return load_table({str(name): value for name, value in settings.items() if name != "defaults"})


def measured_cells(
    table: Table, records: list[dict[str, Any]]
) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """By classifier, by (row, column): the record with the most images, then runs, then the newest."""
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for record in records:
        claim = record["reported"]
        if claim.get("table") != table.name:
            continue
        cells = found.setdefault(classifier_name(record), {})
        place = (claim["row"], claim["column"])
        if place not in cells or _weight(record) > _weight(cells[place]):
            cells[place] = record
    return found


def _weight(record: Mapping[str, Any]) -> tuple[int, int, str]:
    estimate = record["metrics"][record["reported"]["metric"]]
    return estimate["n"], estimate["runs"], record["provenance"]["date"]


def classifier_name(record: Mapping[str, Any]) -> str:
    """`resnet18, checkpoint 0123456789ab` or `resnet18, trained by Standard (epochs 25, ...)`."""
    identity = record["classifier"]
    name = str(identity["_target_"]).rsplit(".", 1)[-1]
    if identity.get("checkpoint"):
        return f"{name}, checkpoint {identity['checkpoint'][:12]}"
    if identity.get("weights"):
        return f"{name}, weights {identity['weights']}"
    training = identity["training"]
    recipe = ", ".join(
        f"{key} {training[key]}" for key in ("epochs", "optimizer", "lr", "augment") if key in training
    )
    recipe += f", key {key_of('classifier', identity)[:8]}"
    return f"{name}, trained by {training['_target_'].rsplit('.', 1)[-1]} ({recipe})"


def table_page(table: Table, by_classifier: Mapping[str, Mapping[tuple[str, str], dict[str, Any]]]) -> str:
    """A table as Markdown, once for each classifier; cells that were not run show what would run them."""
    lines = [f"\n## {table.title} ({table.source})\n", *(f"{note}\n" for note in table.notes)]
    sections = sorted(by_classifier.items()) or [("nothing measured yet", {})]
    for index, (classifier, cells) in enumerate(sections):
        lines.append(f"### f: {classifier}\n")
        lines.append(f"    VQEXP_DATA=DIR python run.py -m table={table.name} {_options(table, cells)}\n")
        lines.append(_markdown_row(HEADINGS))
        lines.append(_markdown_row(["---"] * len(HEADINGS)))
        for row in table.rows:
            for cell in table.cells(quoted=index == 0):  # what other papers say once is enough
                if cell.row == row["label"]:
                    lines.append(_markdown_row(_cell_texts(table, cell, cells.get((cell.row, cell.column)))))
        lines.append("")
        lines += _provenance_lines(cells)
    return "\n".join(lines)


def _options(table: Table, cells: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """The overrides beside the table's own that give these records."""
    if not cells:
        return "scale=cpu"
    record = next(iter(cells.values()))
    config, identity = record["config"], record["classifier"]
    options = [f"scale={config['scale']['name']}"]
    if identity.get("checkpoint"):
        options.append("classifier.checkpoint=FILE")
    elif "training" in identity:
        options.append(f"classifier={identity['_target_'].rsplit('.', 1)[-1]}")
        options += [f"training.{name}={identity['training'][name]}" for name in RECIPE]
    counts = {
        f"dataset.n={config['dataset']['n']}": {r["config"]["dataset"]["n"] for r in cells.values()},
    }
    if "runs" in config["metric"]:
        runs = {r["config"]["metric"].get("runs") for r in cells.values()}
        counts[f"metric.runs={config['metric']['runs']}"] = runs
    usual = {f"metric.runs={config['scale']['runs']}", *table.common}
    usual |= {f"dataset.n={record['config']['scale']['n']}" for record in cells.values()}
    options += [option for option, values in counts.items() if option not in usual and len(values) == 1]
    return " ".join(options)


def _cell_texts(table: Table, cell: Cell, record: Mapping[str, Any] | None) -> list[str]:
    reported = reported_text(cell.reported)
    if cell.quoted:
        return [cell.row, cell.column, reported, "quoted", *[""] * 6]
    if record is None:
        where = f"`table={table.name} table.only_columns=[{cell.column}] table.only_rows=['{cell.row}']`"
        return [cell.row, cell.column, reported, "", where, *[""] * 5]
    metrics = record["metrics"]
    estimate, own = metrics[cell.metric], metrics.get(f"{cell.metric}_on_correct")
    alone = metrics.get(
        "undefended_accuracy" if cell.metric.startswith("robust") else "undefended_natural_accuracy"
    )
    return [
        cell.row,
        cell.column,
        reported,
        percent(estimate),
        interval(estimate),
        _difference(cell, estimate),
        percent(own) if own else "",
        percent(alone) if alone else "",
        str(estimate["runs"]),
        str(estimate["n"]),
    ]


def _difference(cell: Cell, estimate: Mapping[str, Any]) -> str:
    text = difference(cell.reported, estimate)
    if not cell.reported or not text:
        return text
    low, high = estimate["ci95"]
    return text if low <= cell.reported[0] / 100 <= high else f"**{text}**"


def _provenance_lines(cells: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    if not cells:
        return []
    provenances = [record["provenance"] for record in cells.values()]
    commits = sorted(
        {f"{p['commit'][:10]}{' (dirty)' if p['dirty'] else ''}" for p in provenances if p["commit"]}
    )
    devices = sorted({p["device"] for p in provenances})
    torches = sorted({p["libraries"]["torch"] for p in provenances})
    dates = sorted(p["date"][:10] for p in provenances)
    worst = max(record["facts"].get("violation", 0.0) for record in cells.values())
    return [
        f"Commit {', '.join(commits)}; {', '.join(devices)}; torch {', '.join(torches)}; "
        f"{dates[0]} to {dates[-1]}; largest violation of the ball or the box {worst:.1e}.\n"
    ]


def _markdown_row(entries: Any) -> str:
    return "| " + " | ".join(entries) + " |"


def table_frame(
    table: Table, by_classifier: Mapping[str, Mapping[tuple[str, str], dict[str, Any]]]
) -> pd.DataFrame:
    """One line a measured cell, with provenance; fractions in [0, 1], `reported` too."""
>>>>>>> 015a29168ab05be78c4b9c7f832cc1382685c2a2
    rows = []
    for section in sections:
        for (row, column), record in sorted(section.records.items()):
            claim, provenance = record["reported"], record["provenance"]
            for name, estimate in record["metrics"].items():
                is_claim = name == claim["metric"] and claim["mean"] is not None
                rows.append(
                    {
                        "classifier": classifier_name(record),
                        "row": row,
                        "column": column,
                        "metric": name,
                        "reported": claim["mean"] / scale_of(estimate) if is_claim else None,
                        "mean": estimate["mean"],
                        "std": estimate["std"],
                        "ci95_low": estimate["ci95"][0],
                        "ci95_high": estimate["ci95"][1],
                        "runs": estimate["runs"],
                        "n": estimate["n"],
                        "key": record["key"],
                        "commit": provenance["commit"],
                        "dirty": provenance["dirty"],
                        "device": provenance["device"],
                        "torch": provenance["libraries"]["torch"],
                        "seconds": round(sum(provenance["seconds"].values()), 1),
                        "date": provenance["date"],
                    }
                )
    return pd.DataFrame(rows)
