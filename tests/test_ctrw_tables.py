"""The random-weights paper (Ma et al. 2023): its tables' numbers, its presets, and its contradictions."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from scipy.stats import ttest_1samp

from vqexp.core.components import build
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.errors import ConfigError
from vqexp.core.estimate import pooled
from vqexp.core.text import interval
from vqexp.metrics import Sigma
from vqexp.pipeline import prepare
from vqexp.reports.analysis.gather import reported_points
from vqexp.reports.analysis.judge import judge
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.compose import composed as part
from vqexp.reports.spec.figure import figure_path, read_figure
from vqexp.reports.spec.settings import group_of, to_overrides
from vqexp.reports.spec.table import load_table, read_table
from vqexp.reports.sweep.smoke import smoke

register_resolvers()
TABLES = {n: read_table(CONF / "table" / f"ctrw_table{n}.yaml") for n in range(1, 8)}
FIGURES = {panel: read_figure(figure_path(f"ctrw_figure3{panel}")) for panel in "abcd"}
ALL = [*TABLES.values(), *(figure.table for figure in FIGURES.values())]


def composed(overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def reported(n):
    return {(cell.panel, cell.series, cell.column): cell.reported for cell in TABLES[n].cells(quoted=True)}


def test_the_tables_hold_the_gains_that_the_text_gives():
    """Section 4.2 states them in words: CTRW less the baseline."""
    gains = {
        (1, "ResNet18"): (17.32, 25.87),
        (1, "WRN34"): (16.28, 21.99),
        (2, "ResNet18"): (13.3, 21.10),
        (2, "WRN34"): (12.64, 22.11),
    }
    for (n, panel), expected in gains.items():
        found = reported(n)
        for column, gain in zip(("pgd", "autoattack"), expected, strict=True):
            more, less = (found[panel, series, column][0] for series in ("CTRW", "baseline"))
            assert more - less == pytest.approx(gain)
    # "by 6.47 % over the state-of-the-art random algorithm" (introduction)
    rivals = reported(3)
    assert rivals["WRN34", "CTRW", "autoattack"][0] - rivals["WRN34", "RNA", "autoattack"][0] == (
        pytest.approx(6.47)
    )


def test_one_line_of_each_table_as_printed():
    lines = {
        (1, "WRN34", "fixed std"): [84.23, 70.03, 66.47, 65.74, 83.83, 83.30, 72.97],
        (2, "ResNet18", "without constrain"): [57.01, 30.05, 32.36, 31.38, 55.38, 51.39, 30.78],
        (3, "ImageNet", "CTRW"): [59.29, 60.16],
        (4, "ResNet18", "filters"): [68.11, 55.34],
        (7, "ResNet18", "fixed to mid value"): [67.50],
    }
    for (n, panel, series), values in lines.items():
        paper = [
            cell.reported[0]
            for cell in TABLES[n].cells()
            if (cell.panel, cell.series) == (panel, series)
            and "reported_as" not in TABLES[n].columns[cell.column]
        ]
        assert paper == values
    assert reported(5)["WRN34", "WRN34", "pgd"] == [70.87, 0.31]


def test_what_no_one_can_train_is_quoted():
    quoted = {cell.series for cell in TABLES[3].cells(quoted=True) if cell.quoted}
    assert quoted == {"RP-Ensemble", "RP-Regularizer", "DWQ", "RobustWRN"}


def test_the_papers_numbers_contradict_themselves():
    """Claims judged on the reported numbers alone."""
    points = {table.name: reported_points(table) for table in ALL}

    def words(n):
        table = TABLES[n]
        return {claim.text: judge(claim, table.name, points).word for claim in table.claims}

    for n, where in ((1, ""), (2, "on CIFAR-100, ")):
        found = words(n)
        assert found[f"{where}AutoAttack is at least as strong as PGD with 20 steps"] == "did not hold"
        step = f"{where}PGD with 20 steps is at least as strong as FGSM, its first step"
        assert found[step] == "did not hold"
    assert words(3)["PGD with 50 steps is at least as strong as with 10"] == "did not hold"
    assert words(6)["the ratio of positive samples is their number, of 1e5"] == "did not hold"
    trained = "CTRW with a trained sigma is more robust than with a fixed one"
    other = f"on CIFAR-100, {trained}"
    assert (words(1)[trained], words(2)[other]) == ("held", "did not hold")
    for n in TABLES:
        own = {claim.text for claim in TABLES[n].claims if not claim.ours} - {trained, other}
        assert {word for text, word in words(n).items() if text in own} <= {"held"}


def test_every_measured_row_names_its_network():
    """So no record of another one can fill it."""
    for table in ALL:
        for cell in table.cells():
            assert "classifier" in cell.settings
            small = cell.settings["classifier"] == "small_resnet"
            assert cell.settings["preset"].startswith("ctrw_small/" if small else "ctrw/")
            assert "small ResNet" in cell.row or not small


def test_a_fixed_f_is_attacked_as_it_is_and_random_ones_by_the_papers_protocol():
    for cell in (cell for table in ALL for cell in table.cells()):
        if cell.settings["defense"] == "none":
            assert cell.settings["adversary"] == "oblivious"
        elif cell.column in ("pgd", "fgsm", "autoattack", "cw", "mifgsm", "deepfool", "pgd10", "pgd50"):
            assert cell.settings["adversary"] == "held"


def test_columns_without_sense_for_a_row_are_left_out():
    settings = read_settings(CONF / "table" / "ctrw_table1.yaml")
    kept = {cell.column for cell in load_table(settings).cells() if cell.settings["defense"] == "none"}
    assert kept == {"natural", "pgd", "fgsm", "mifgsm", "mifgsm_1", "autoattack"} | {
        f"{attack}{what}" for attack in ("cw", "deepfool") for what in ("", "_distance")
    }
    settings["rows"][0]["without"] = ["eot"]
    with pytest.raises(ConfigError, match=r"table\.rows\.without is 'eot'; it must be"):
        load_table(settings)
    settings["rows"][0]["without"] = "eot_pgd"
    with pytest.raises(ConfigError, match=r"table\.rows\.without is 'eot_pgd'; it must be a list of texts"):
        load_table(settings)


def test_every_cell_makes_sense():
    """Every attack with every adversary and defense that it meets in a cell, at their own settings."""

    @cache
    def made(group, settings, dataset):
        return build(group, part((*settings, *dataset), group, "paper", lambda *_: True))

    for cell in (cell for table in ALL for cell in table.cells()):
        of = {
            name: tuple(to_overrides({k: v for k, v in cell.settings.items() if group_of(k) == name}))
            for name in ("defense", "adversary", "attack", "dataset", "preset")
        }
        where = (*of["dataset"], *of["preset"])
        defense, adversary, attack = (
            made(name, of[name], where) for name in ("defense", "adversary", "attack")
        )
        adversary.check(defense)
        attack.check(adversary, defense, 10)


def test_the_papers_protocol():
    """Section 4.1, as a cell of Table 1 resolves it."""
    cell = next(cell for cell in TABLES[1].cells() if cell.place == ("ResNet18, CTRW", "mifgsm"))
    config = resolved(composed([*cell.overrides(), "scale=paper"]))
    training, attack = config["training"], config["attack"]
    assert (training["epochs"], training["lr"], training["batch_size"]) == (200, 0.1, 128)
    assert training["weight_decay"] == 5e-4
    assert training["schedule"]["milestones"] == ["100*batches", "150*batches"]
    inner = training["objective"]["inner"]
    assert (inner["steps"], inner["step_size"], inner["eps"]) == (
        10,
        pytest.approx(2 / 255),
        pytest.approx(8 / 255),
    )
    assert (attack["steps"], attack["decay"], attack["step_size"]) == (5, 0.1, pytest.approx(2 / 255))
    # the small counterpart differs in its network and its budget alone
    small = resolved(composed([*cell.overrides(), "preset=ctrw_small/cifar10", "classifier=small_resnet"]))
    assert small["attack"] == attack
    assert small["defense"] == config["defense"]
    assert small["training"]["objective"]["inner"]["steps"] == 1
    assert small["training"]["objective"]["inner"]["step_size"] == pytest.approx(10 / 255)
    imagenet = next(cell for cell in TABLES[3].cells() if cell.row == "ImageNet, CTRW")
    config = resolved(composed([*imagenet.overrides(), "scale=paper"]))
    inner = config["training"]["objective"]["inner"]
    assert (inner["steps"], inner["step_size"]) == (2, pytest.approx(1 / 255))
    assert (config["dataset"]["shape"], config["training"]["lr"]) == ([3, 224, 224], 0.02)


def test_smoke_trains_defenses_inside_f_briefly():
    inside = {"defense": "ctrw", "defense.position": 3, "defense.where": "both", "adversary": "held"}
    assert smoke(inside) == {
        "defense": "ctrw",
        "adversary": "held",
        "dataset": "digits",
        "classifier": "small_cnn",
        "training.epochs": 2,
    }
    assert "training.epochs" not in smoke({"defense": "swrd"})


def test_the_quantiles_and_the_sum_of_sigma(config):
    layers = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity(), torch.nn.ReLU()])
    layers[0].register_buffer("sigma", torch.arange(100.0).view(1, 4, 5, 5))
    layers[1].sigma = torch.nn.Parameter(torch.tensor([100.0]))
    found = Sigma().measure(SimpleNamespace(classifier=layers)).estimates
    assert {name: estimate.mean for name, estimate in found.items()} == {
        **{f"sigma_quantile_{q}": q for q in (0, 5, 25, 50, 75, 95, 100)},
        "sigma_sum": 5050,
    }
    assert {interval(estimate) for estimate in found.values()} == {"exact"}
    several = pooled([replace(found["sigma_sum"], mean=x, ci95=(x, x)) for x in (1.0, 2.0, 3.0)])
    assert several.ci95 == pytest.approx(ttest_1samp([1, 2, 3], 0).confidence_interval())
    with pytest.raises(ConfigError, match="no layer of f has a sigma"):
        Sigma().measure(SimpleNamespace(classifier=layers[2]))
    with pytest.raises(ConfigError, match="metric=sigma looks at random weights inside f"):
        prepare(config("metric=sigma", "attack=none"))
