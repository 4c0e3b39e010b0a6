"""The curve by a defense's strength: which values it takes, of which rows it is made, and its page."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import vqexp
from vqexp import results
from vqexp.audits.members import load_audit
from vqexp.audits.result import all_audits
from vqexp.audits.strength import STRENGTH, at_strength, strength_curve, strength_of
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.core.held import hold
from vqexp.core.store import Store
from vqexp.defenses import AdditiveNoise, in_memory
from vqexp.reports.render.audit_curves import draw_curves
from vqexp.reports.render.audit_page import audit_page, command_of
from vqexp.reports.spec.choices import read_settings

SHAPE = (1, 8, 8)
NOISE = {"_target_": "vqexp.defenses.AdditiveNoise", "sigma": 0.1}
PRD = {"_target_": "vqexp.defenses.PRD", "s": 2, "k": 6, "sigma": 0, "tau": 0}
ROWS = f"table.only_rows={json.dumps(['no attack', 'PGD, margin', STRENGTH])}"


class Dimming(nn.Module):
    """A defense that is no `vqexp.defenses.Defense`, and says what its strength is."""

    strength = "share"

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, images):
        return images * (1 - self.share)


def test_a_defense_declares_its_strength():
    assert strength_of(NOISE) == ("sigma", 0.1)
    assert strength_of(PRD) == ("k", 6)
    assert strength_of({"_target_": "vqexp.defenses.RPF", "shape": [1, 8, 8]}) == ("share", 0.75)
    with pytest.raises(SenselessError, match="Contrast declares no strength setting"):
        strength_of({"_target_": "vqexp.defenses.Contrast", "low": 0.0, "high": 1.0})
    with pytest.raises(SenselessError, match=r"defense\.sigma is 0, which has no multiples"):
        strength_of({**NOISE, "sigma": 0})


def test_values_are_multiples_within_what_the_defense_takes():
    assert at_strength(NOISE, 0.5, SHAPE) == {"sigma": 0.05}
    assert at_strength(PRD, 0.25, SHAPE) == {"k": 2}  # an integer stays one
    with pytest.raises(SenselessError, match=r"defense\.k is 24"):  # more than there are patches
        at_strength(PRD, 4, SHAPE)
    with pytest.raises(SenselessError, match=r"defense\.quality is 150"):
        at_strength({"_target_": "vqexp.defenses.JPEG", "quality": 75}, 2, SHAPE)


def test_a_module_in_memory_takes_another_strength():
    images = torch.ones(1, *SHAPE)
    own = Dimming(0.2)
    found = in_memory(hold(own), "Dimming", share=0.5)
    assert torch.equal(found(images), torch.full_like(images, 0.5))
    assert own.share == 0.2
    noise = AdditiveNoise(sigma=0.1, noise="laplace", seed=3)
    louder = in_memory(hold(noise), "AdditiveNoise", sigma=0.4)
    assert (louder.sigma, louder.noise, louder.seed) == (0.4, "laplace", 3)
    with pytest.raises(ConfigError, match=r"defense\.sigma is -1"):
        in_memory(hold(noise), "AdditiveNoise", sigma=-1)


def table(page):
    section = page.partition("## Accuracy by the defense's strength")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {name: values for name, *values in rows}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    from conftest import run_cli

    store = tmp_path_factory.mktemp("store")
    small = ("scale=smoke", "classifier=small_cnn", "classifier.width=4", "training.epochs=1")
    status, out, err = run_cli("-m", "table=audit", "defense=additive_noise", ROWS, *small, store=store)
    assert (status, err) == (0, "")
    return store, out


def test_the_page_shows_the_curve_of_both_classifiers(audited):
    _, out = audited
    rows = table(out)
    assert rows["sigma"] == ["0.025", "0.05", "0.1", "0.2", "0.4"]
    for name in ("without attack", "under attack"):
        for f in ("", ", f fine-tuned behind it"):
            values = [float(each.split()[0]) for each in rows[f"{name}{f}, %"] if each]
            assert len(values) == (3 if f else 5)
            assert all(0 <= value <= 100 for value in values)
    worst = next(line for line in out.splitlines() if line.startswith("Worst case, image by image"))
    assert "on 8 images" in worst
    assert "INCOMPLETE (2 of " in out  # the curve counts neither as run nor as missing


def test_its_rows_change_the_defense_and_the_second_series_fine_tunes_f(audited):
    store, _ = audited
    rows = [record for record in results.records(store) if record.reported.row.startswith(STRENGTH)]
    sigmas = {record.reported.row: record.config["defense"]["sigma"] for record in rows}
    assert sigmas["strength x 0.5"] == sigmas["strength x 0.5, f fine-tuned behind it"] == 0.05
    tuned = {"behind it" in each.reported.row: each.classifier.get("fine_tuning") for each in rows}
    assert tuned[True]["objective"]["_target_"].endswith("Quantized")
    assert tuned[False] is None
    assert len({json.dumps(each.classifier["training"]) for each in rows}) == 1  # where all of them start
    assert len({json.dumps(record.classifier) for record in rows}) == 4  # f, and one for each strength


def test_the_page_is_made_again_from_records(audited, tmp_path):
    store, out = audited
    audit = load_audit(read_settings(CONF / "table" / "audit.yaml"))
    (result,) = all_audits(audit, results.records(store), Store(store)).values()
    assert table(audit_page(result, "")) == table(out)
    assert result.rows[0] == 2
    told = command_of(audit, result).split()
    assert "defense=additive_noise" in told
    assert not any(word.startswith(("defense.sigma", "training=")) for word in told)
    assert [path.suffix for path in draw_curves(result, tmp_path / "curves")] == [".pdf", ".png"]
    curve = strength_curve(result.findings, result.config["defense"])
    alone = {label: each for label, each in result.findings.items() if each.kind == STRENGTH}
    assert replace(result, findings=alone).config["defense"]["sigma"] == 0.1
    assert (curve.setting, curve.value, list(curve.series)) == ("sigma", 0.1, ["", "f fine-tuned behind it"])


@pytest.mark.parametrize(
    ("defense", "reason"),
    [("contrast", "Contrast declares no strength setting"), ("none", "NoDefense declares no strength")],
)
def test_a_defense_without_one_says_so_in_a_line(vqexp, store, defense, reason):
    small = ("scale=smoke", "classifier=small_cnn", "classifier.width=4", "training.epochs=1")
    status, out, err = vqexp("-m", "table=audit", f"defense={defense}", ROWS, *small, store=store)
    assert (status, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith(f"- Left out ({reason}")]
    assert line.endswith(f": {STRENGTH} (8 rows).")
    assert "Accuracy by the defense's strength" not in out


def test_an_object_has_the_curve_too():
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval(), torch.rand(8, *SHAPE)
    labels = model(images).argmax(1)
    few = [f'table.only_rows=["no attack","{STRENGTH}"]', "scale.audit.curves=8", "scale.attack_steps=2"]
    report = vqexp.audit(
        model, images, labels, defense=Dimming(0.2), budget="standard", settings=few, told=False
    )
    curve = strength_curve(report.result.findings, report.result.config["defense"])
    assert [point.strength for point in curve.series[""]] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8])
    reason = report.result.left_out[f"{STRENGTH} x 1, f fine-tuned behind it"]
    assert "there are none to train on" in reason


def test_the_audited_f_may_have_any_training(vqexp, tmp_path):
    """A fine-tuning starts from it, and a given f is fine-tuned as well."""
    f = ("classifier=small_cnn", "classifier.width=4", "training=gaussian_augmentation", "training.epochs=1")
    wanted = f'table.only_rows=["no attack","{STRENGTH} x 1"]'
    told = ("scale=smoke", "defense=additive_noise", "defense.sigma=0.2")
    status, _, err = vqexp("-m", "table=audit", *told, *f, wanted, store=tmp_path)
    assert (status, err) == (0, "")
    records = {record.reported.row: record for record in results.records(tmp_path)}
    assert set(records) == {"no attack", "strength x 1", "strength x 1, f fine-tuned behind it"}
    for record in records.values():
        assert record.config["training"]["objective"]["_target_"].endswith("GaussianAugmentation")
        assert record.config["defense"]["sigma"] == 0.2


def test_an_f_that_is_fine_tuned_already_has_one_series(vqexp, tmp_path):
    f = ("classifier=small_cnn", "classifier.width=4", "training.epochs=1")
    tuned = ("training@fine_tuning=gaussian_augmentation", "fine_tuning.epochs=1")
    wanted = f'table.only_rows=["no attack","{STRENGTH} x 1"]'
    told = ("scale=smoke", "defense=additive_noise")
    status, out, err = vqexp("-m", "table=audit", *told, *f, *tuned, wanted, store=tmp_path)
    assert (status, err) == (0, "")
    assert "Left out (f is fine-tuned already): strength x 1, f fine-tuned behind it." in out
    assert {"GaussianAugmentation" in str(each.classifier) for each in results.records(tmp_path)} == {True}
