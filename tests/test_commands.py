"""`vqexp list`, `compare` and `plot`, and the tidy table of all records."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from command_line import called
from conftest import run_cli
from omegaconf import OmegaConf

from vqexp import results
from vqexp.commands.compare import difference, find
from vqexp.commands.list import about
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.help import groups
from vqexp.pipeline import read
from vqexp.reports.analysis.points import point_of

FAST = ["scale=smoke", "training.epochs=1", "attack=fgsm"]


@pytest.fixture
def command(vqexp):
    """Run a command in this process: (exit status, stdout, stderr)."""
    return partial(called, "vqexp")


@pytest.fixture(scope="module")
def sweep(store):
    """The records of two k in the module's store, by k."""
    status, _, err = run_cli("-m", *FAST, "defense.k=2,4", store=store)
    assert status == 0, err
    return {read(path).config["defense"]["k"]: path for path in (store / "records").glob("*.json")}


def test_list_has_a_line_for_every_choice(command):
    status, out, err = command("list")
    assert (status, err) == (0, "")
    for group, choices in groups().items():
        lines = out.split(f"\n{group}\n" if group != "dataset" else "dataset\n")[1].split("\n\n")[0]
        told = dict(line.split(maxsplit=1) for line in lines.splitlines() if line.startswith("  "))
        assert sorted(told) == sorted(choices)


def test_list_takes_groups(command):
    status, out, _ = command("list", "attack")
    assert status == 0
    assert out.split()[:6] == ["attack", "autoattack", "AutoAttack", "by", "its", "authors'"]
    assert "swrd" not in out


def test_a_line_is_one_sentence_or_a_title_and_source():
    assert about(CONF / "attack" / "fgsm.yaml") == "One signed gradient step of size eps"
    table = "CIFAR-10, l-inf, eps 8/255, attacks that do not know the defense (journal Table 2)"
    assert about(CONF / "table" / "vq_table2.yaml") == table


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list", "defences"], "the group is 'defences'; it must be one of dataset, classifier"),
        (["list", "--all"], "vqexp list has no --all; --help shows what there is"),
        (["compare", "abc"], "vqexp compare takes two records, not 1"),
        (["compare", "a", "b", "colour=red"], "vqexp compare has no colour; it takes store"),
        (["compare", "a", "b", "store=nowhere"], "no record in nowhere has a key that begins with a"),
        (["compare", "a.json", "b.json"], "a.json"),
        (["plot", "y=robust_accuracy"], "vqexp plot needs x=NAME"),
        (["plot", "defense.k"], "vqexp plot takes settings alone"),
        (["plot", "x=defense.k", "y=robust_accuracy", "store=nowhere"], "there are no records in nowhere"),
    ],
)
def test_bad_arguments_are_one_line(command, arguments, expected):
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("vqexp: ")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["list", "compare", "plot"])
def test_every_command_explains_itself(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0
    assert out.startswith(f"vqexp {name} ")


def test_load_has_a_row_for_each_metric_and_a_column_for_what_varies(sweep, store):
    frame = results.load(store)
    record = read(sweep[4])
    mine = frame[frame["key"] == record.key].set_index("metric")
    assert sorted(mine.index) == sorted(record.metrics)
    assert len(frame) == 2 * len(mine)
    estimate = record.metrics["robust_accuracy"]
    found = mine.loc["robust_accuracy"]
    assert (found["mean"], found["low"], found["high"]) == (estimate.mean, *estimate.ci95)
    assert (found["runs"], found["n"], found["defense.k"]) == (2, 8, 4)
    assert [*frame.columns[:5]] == ["dataset", "defense", "adversary", "attack", "defense.k"]
    assert [*frame.columns[5:7]] == ["metric", "mean"]  # k alone varies
    assert set(frame["defense"]) == {"swRD"}


def test_load_of_nothing_is_empty(tmp_path):
    frame = results.load(tmp_path)
    assert len(frame) == 0
    assert "mean" in frame.columns


def test_compare_takes_the_difference_image_by_image(command, sweep, store):
    first, second = (str(sweep[k]) for k in (2, 4))
    status, out, err = command("compare", first, second)
    assert (status, err) == (0, "")
    assert [line.split()[1:6:2] for line in out.splitlines() if "defense.k" in line] == [
        ["defense.k", "2", "4"]
    ]
    lines = [line.split("│") for line in out.splitlines() if "│ robust accuracy " in line]
    a, b = (read(sweep[k]).metrics["robust_accuracy"].mean for k in (2, 4))
    assert float(lines[0][4]) == pytest.approx(100 * (b - a), abs=0.01)
    assert lines[0][6].strip() == "8"
    keys = [read(sweep[k]).key for k in (2, 4)]
    assert command("compare", *keys, f"store={store}") == (0, out, "")


def test_a_difference_without_pairs_spans_both_intervals(sweep, store):
    a, b = (point_of(find(str(sweep[k]), store), "robust_accuracy") for k in (2, 4))
    alone = replace(a, outcomes=None)
    apart, (low, high), n = difference(alone, b)
    assert (apart, n) == (b.value - a.value, 0)
    assert (low, high) == (b.low - a.high, b.high - a.low)
    assert difference(a, b)[2] == 8


def test_a_key_that_is_not_alone_is_refused(sweep, store):
    with pytest.raises(ConfigError, match="2 records in"):
        find("", store)


def test_plot_draws_a_sweep(command, sweep, store, tmp_path):
    drawn = ["x=defense.k", "y=robust_accuracy", f"store={store}", f"out={tmp_path / 'a' / 'k'}"]
    status, out, err = command("plot", *drawn, "series=defense")
    assert (status, err) == (0, "")
    assert [Path(line).name for line in out.splitlines()] == ["k.pdf", "k.png"]
    assert (tmp_path / "a" / "k.png").read_bytes().startswith(b"\x89PNG")


def test_plot_draws_no_two_records_in_one_place(command, vqexp, sweep, store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    assert vqexp(*FAST, "defense.k=4", "attack.eps=0.01")[0] == 0
    drawn = [
        "plot",
        "x=defense.k",
        "y=robust_accuracy",
        f"store={tmp_path / 'store'}",
        f"out={tmp_path / 'k'}",
    ]
    status, _, err = command(*drawn, "series=defense")
    assert status == 2
    assert "2 records have defense.k=4, defense=swRD; they differ in attack.eps: " in err
    assert command(*drawn, "attack.eps=0.01")[0] == 0
    assert "it is one of " in command(*drawn, "attack.eps=0.7")[2]
    assert "attack.steps does not vary" in command(*drawn, "attack.steps=3")[2]


def test_optimize_is_for_a_search(vqexp):
    status, _, err = vqexp("optimize=robust_accuracy")
    assert status == 2
    assert "optimize=robust_accuracy is for a search: add -m and a sweeper" in err
    status, _, err = vqexp("-m", "optimize=robust_accuracy", "defense.k=2,4")
    assert status == 2
    assert "optimize=robust_accuracy needs a sweeper that searches" in err


def test_optuna_finds_the_largest_metric(vqexp, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=2"]
    chosen = ["optimize=robust_accuracy", "defense.k=choice(2,4)", "hydra.sweeper.n_jobs=1"]
    status, _, err = vqexp("-m", *search, *chosen, *FAST)
    assert status == 0, err
    (path,) = (tmp_path / "store" / "sweeps").glob("*/optimization_results.yaml")
    found = OmegaConf.load(path)
    records = results.records(tmp_path / "store")
    assert found.best_value == max(record.metrics["robust_accuracy"].mean for record in records)
    assert all("optimize" not in record.config for record in records)
