"""A record fills a cell because its settings are the cell's: labels are words for people."""

import gzip
import json
from dataclasses import replace

import pytest
import records
from hydra import compose, initialize_config_dir

from vqexp import results
from vqexp.core.components import build
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.keys import key_of
from vqexp.reports.analysis.classifier import classifier_name
from vqexp.reports.analysis.gather import sections
from vqexp.reports.spec.figure import all_figures
from vqexp.reports.spec.fill import Index, cell_key, settings_key
from vqexp.reports.spec.settings import from_overrides, to_overrides
from vqexp.reports.spec.table import all_tables, read_table

PUBLISHED = CONF.parent / "results" / "records.jsonl.gz"
TABLE = read_table(CONF / "table" / "vq_table2.yaml")


def fills(cell, record, *overrides):
    """Whether the record fills the cell, told `overrides` besides."""
    told = replace(cell, settings={**cell.settings, **from_overrides(overrides)})
    return Index([record]).filling(told) == [record]


@pytest.fixture(scope="module")
def published():
    return results.records(PUBLISHED)


@pytest.fixture(scope="module")
def record(published):
    """That of a row with swRD under PGD, before the ResNet18 of the table."""
    cell = next(cell for cell in TABLE.cells() if cell.place == ("swRD (s=3, k=25)", "pgd"))
    f = "vqexp.classifiers.resnet18"
    fitting = (record for record in published if record.config["classifier"]["_target_"] == f)
    return cell, next(record for record in fitting if fills(cell, record))


def test_every_published_record_fills_the_cell_that_it_was_made_for(published):
    """By its settings, old records and younger settings too; a sample of the cells, for time."""
    tables = [*all_tables(), *(figure.table for figure in all_figures() if figure.table)]
    cells = {(table.name, cell.row, cell.column): cell for table in tables for cell in table.cells()}
    checked = 0
    for record in published[::6]:
        made_for = tuple(getattr(record.reported, name) for name in ("table", "row", "column"))
        if made_for in cells:
            assert fills(cells[made_for], record), made_for
            checked += 1
    assert checked > 50


@pytest.mark.parametrize(
    "setting",
    [
        "defense.k=26",
        "defense.sigma=0.02",
        "attack.eps=0.05",
        "attack.steps=21",
        "adversary=ste",
        "attack=fgsm",
    ],
)
def test_another_setting_empties_the_cell(record, setting):
    cell, found = record
    assert fills(cell, found)
    assert not fills(cell, found, setting)


def test_images_runs_and_seed_of_the_defense_may_differ(record):
    cell, found = record
    assert fills(cell, found, "dataset.n=7", "metric.runs=2", "attack.batch_size=3", "defense.seed=5")


def test_what_the_cell_says_of_f_must_hold(record):
    cell, found = record
    assert fills(cell, found, "classifier=resnet18", "training=standard")
    for other in (
        "classifier=wrn28_10",
        "training=quantized",
        "precision=bfloat16",
        "classifier.mean=[1,2,3]",
    ):
        assert not fills(cell, found, other)


def test_what_the_cell_says_of_f_may_name_another_setting():
    """As `training.epochs=${preset.standard.epochs}` does: a run of the cell fills it."""
    register_resolvers()
    naming = {
        key_of(cell.settings): cell
        for table in all_tables()
        for cell in table.cells()
        if any(name.startswith("training.") and "${" in str(value) for name, value in cell.settings.items())
    }
    assert naming
    for cell in naming.values():
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = resolved(compose("config", overrides=[*to_overrides(cell.settings), "scale=cpu"]))
        run = records.record(config=config, metrics={cell.metric: records.estimate()})
        assert fills(cell, run)
        assert not fills(cell, run, f"training.epochs={config['training']['epochs'] + 1}")


def test_a_setting_younger_than_the_record_counts_as_its_default(record):
    _, found = record
    old = found.model_copy(deep=True)
    del old.config["attack"]["restarts"]
    assert settings_key(old.config) == settings_key(found.config)
    assert not fills(record[0], old, "attack.restarts=2")
    del old.config["attack"]["steps"]  # which has no default
    assert settings_key(old.config) != settings_key(found.config)


OLD = {
    "_target_": "vqexp.training.Standard",
    "epochs": 4,
    "lr": 0.001,
    "optimizer": "sgd",
    "schedule": "cosine",
    "momentum": 0.9,
    "nesterov": True,
    "milestones": [60, 120],
    "gamma": 0.2,
    "label_smoothing": 0.1,
}
SMOOTHED = {"_target_": "vqexp.training.CrossEntropy", "label_smoothing": 0.1}
INNER = {"_target_": "vqexp.training.InnerAttack", "eps": 0.1, "steps": 7, "step_size": 0.025}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"objective": SMOOTHED}),
        (
            {"momentum": 0.8, "schedule": "step"},
            {
                "objective": SMOOTHED,
                "optimizer": {
                    "_target_": "torch.optim.SGD",
                    "_partial_": True,
                    "momentum": 0.8,
                    "nesterov": True,
                },
                "schedule": {
                    "_target_": "torch.optim.lr_scheduler.MultiStepLR",
                    "_partial_": True,
                    "milestones": ["60*batches", "120*batches"],
                    "gamma": 0.2,
                },
            },
        ),
        (
            {"_target_": "vqexp.training.Quantized", "start": "0123"},
            {"objective": {**SMOOTHED, "_target_": "vqexp.training.Quantized"}, "start": "0123"},
        ),
        (
            {"_target_": "vqexp.training.Adversarial", "eps": 0.1, "attack_steps": 7, "step_size": 0.025},
            {"objective": {**SMOOTHED, "_target_": "vqexp.training.PGDAT", "inner": INNER}},
        ),
    ],
)
def test_older_trainings_are_read_as_todays(old, new, tmp_path, record):
    """And today's classes take them; a surrogate's, too."""
    written = record[1].model_copy(deep=True).plain()
    training = {**OLD, **old}
    written["config"]["training"] = written["config"]["adversary"]["training"] = training
    (tmp_path / "old.gz").write_bytes(gzip.compress(json.dumps(written).encode()))
    (found,) = results.records(tmp_path / "old.gz")
    shared = {name: OLD[name] for name in ("epochs", "lr", "optimizer", "schedule")}
    expected = {"_target_": "vqexp.training.Descent", **shared, **new}
    assert found.config["training"] == found.config["adversary"]["training"] == expected
    assert found.classifier == written["classifier"]
    build("training", {**expected, "start": None})


def test_trainings_of_one_objective_are_told_apart():
    """By their inner attack, and by the epoch that they keep; a recipe is f's."""
    cells = {
        name: f"dataset=digits defense=ctrw training={name}" for name in ("pgd_at", "overfit", "ctrw", "fast")
    }
    keys = {name: cell_key(from_overrides(cell.split()), "cpu") for name, cell in cells.items()}
    assert len(set(keys.values())) == len(keys)
    longer = cell_key(from_overrides([*cells["ctrw"].split(), "training.epochs=3"]), "cpu")
    assert longer == keys["ctrw"]


def test_what_fs_training_is_called(published):
    """In records of every age: by its class or by its objective."""
    names = {classifier_name(record).partition(" (")[0] for record in published}
    assert "small_cnn, trained by Standard" in names
    assert "resnet18, trained by Quantized" in names
    found = next(r for r in published if "training" in r.classifier).model_copy(deep=True)
    optimizer = {"_target_": "torch.optim.AdamW", "eps": 1e-6}
    found.classifier["training"] = {"epochs": 3, "objective": SMOOTHED, "optimizer": optimizer}
    assert "trained by CrossEntropy (epochs 3, optimizer AdamW, key " in classifier_name(found)


def test_labels_decide_nothing(published):
    """A row by another name keeps its number; a row with other settings loses it."""
    records = Index(published)

    def measured(label, overrides):
        rows = [
            {**row, "label": label, "overrides": overrides} if row["label"] == "swRD (s=3, k=25)" else row
            for row in TABLE.rows
        ]
        (best, *_) = sections(replace(TABLE, rows=rows), records)
        return best.records.get((label, "pgd"))

    own = ["defense=swrd", "defense.s=3", "defense.k=25"]
    before = measured("swRD (s=3, k=25)", own)
    assert before is not None
    assert measured("swRD  with s 3, k 25", own).key == before.key
    assert measured("swRD (s=3, k=25)", [*own[:2], "defense.k=26"]) is None


def test_of_further_classifiers_the_measured_rows_are_shown(published):
    first, *others = sections(TABLE, Index(published))
    assert first.places == {cell.place for cell in TABLE.cells()}
    assert others
    for section in others:
        assert {row for row, _ in section.places} == {row for row, _ in section.records}


def test_dry_run_knows_the_published_records(vqexp):
    rows = '["swRD (s=3, k=25)"]'
    status, out, err = vqexp("-m", "table=vq_table2", f"table.only_rows={rows}", "dry_run=true")
    assert (status, err) == (0, "")
    assert "0 of 3 cells cached, 3 measured otherwise" in " ".join(out.split())
    assert "resnet18, checkpoint" in " ".join(out.split())


def test_published_records_are_whole():
    lines = gzip.decompress(PUBLISHED.read_bytes()).decode().splitlines()
    assert len(lines) == len({json.loads(line)["key"] for line in lines}) > 350
