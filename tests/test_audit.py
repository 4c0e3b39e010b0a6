"""The audit end to end on digits: what is broken falls, masking is named, robustness is found."""

import json
import re
from pathlib import Path

import pytest
from records import record

from vqexp import results
from vqexp.audits.members import KINDS, load_audit
from vqexp.audits.result import all_audits
from vqexp.audits.sense import senseless
from vqexp.core.errors import ConfigError
from vqexp.core.store import Store
from vqexp.core.text import size_of
from vqexp.metrics import Member, worst_case
from vqexp.reports.render.audit_curves import draw_curves
from vqexp.reports.render.audit_page import audit_page, command_of
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.compose import composed
from vqexp.reports.spec.fill import is_row
from vqexp.reports.spec.settings import to_overrides
from vqexp.reports.spec.table import AUDIT

# an eps where the undefended classifier is under 1 %, and small budgets
QUICK = (
    "preset.eps=0.3",
    "classifier.width=16",
    "training.epochs=10",
    "metric.runs=4",
    "scale.audit.members=40",
    "scale.attack_steps=12",
    "scale.samples=8",
)


def rows(*labels):
    return f"table.only_rows={json.dumps(list(labels))}"


def audit(vqexp, store, *arguments):
    """(page, worst case that the page states, in percent)."""
    status, out, err = vqexp("-m", "table=audit", *arguments, store=store)
    assert (status, err) == (0, "")
    path = out.strip().splitlines()[-1].removeprefix("page: ")
    page = Path(path).read_text()
    assert page in out
    start = "Worst case, image by image: "
    worst = next(line for line in page.splitlines() if line.startswith(start))
    return page, float(worst.removeprefix(start).split()[0])


@pytest.mark.parametrize(
    ("overrides", "more"),
    [
        (("defense=jpeg",), ()),
        (("defense=bit_depth",), ()),
        # windows of 3 x 3 leave little of 8 x 8 pixels to an f that never saw their medians
        (("defense=median", "training=quantized", "training.epochs=5"), ()),
        (("defense=resize_pad",), ("PGD, EOT, true gradient",)),
    ],
)
def test_known_broken_defenses_fall(vqexp, store, overrides, more):
    labels = ("no attack", "PGD that ignores", "PGD, cross-entropy", "PGD, true gradient", *more)
    page, worst = audit(vqexp, store, *QUICK, *overrides, rows(*labels))
    assert worst <= 3
    natural = next(line for line in page.splitlines() if line.startswith("| no attack"))
    assert float(natural.split("|")[3].split()[0]) > 75


@pytest.mark.parametrize("defense", ["detached", "saturated", "bit_depth"])
def test_gradient_masking_is_named(vqexp, store, defense):
    labels = ("PGD that ignores", "PGD, true gradient", "gradients: true")
    page, _ = audit(vqexp, store, f"defense={defense}", *QUICK, rows(*labels))
    masking = next(line for line in page.splitlines() if line.startswith("Gradient masking"))
    assert masking.startswith("Gradient masking: the true gradient is zero on 100 % of images; ")
    assert re.search(
        r"the attacks that know the defense leave [\d.]+ points more accuracy than PGD that", masking
    )
    assert "not so" not in page


def test_a_quantizer_masks_nothing_and_senseless_rows_are_left_out(vqexp, store):
    labels = ("PGD, cross", "PGD, soft", "gradients", "curve: samples 1", "PGD with the evaluation's")
    small = ("scale.audit.members=16", "scale.audit.curves=4", "scale.attack_steps=6")
    page, _ = audit(vqexp, store, "defense=prd", *QUICK, *small, rows(*labels))
    assert "Gradient masking" not in page
    assert "Left out" not in page
    # what was not asked for makes sense all the same, so there is no verdict
    assert page.splitlines()[2] == "**INCOMPLETE (7 of 45 rows)**"
    assert "- Not run yet: no attack; random noise; " in page
    known = next(line for line in page.splitlines() if line.startswith("| PGD with the evaluation's"))
    assert known.split("|")[7].strip() == ""  # another threat model: no part of the worst case
    labels = ("PGD, cross", "PGD, soft", "PGD, EOT")
    page, _ = audit(vqexp, store, "defense=bit_depth", *QUICK, *small, rows(*labels))
    assert "Left out (adversary=soft softens a quantizer's assignments" in page
    status, _, err = vqexp("-m", "table=audit", "defense=bit_depth", rows("PGD, soft"), store=store)
    assert status == 2
    assert "has no row to run here (PGD, soft assignment: adversary=soft" in err


def test_without_autoattack_it_agrees_with_autoattack(vqexp, store):
    """On an adversarially trained network: at most one of 40 digits differs."""
    training = ("training=pgd_at", "training.epochs=4", "training.objective.inner.steps=4")
    network = (*training, "classifier.width=8", "defense=none")
    labels = ("PGD, cross-entropy", "PGD, margin", "one target", "Square")
    members = ("scale.audit.members=40", "scale.audit.targets=9", "scale.attack_steps=20")
    _, worst = audit(vqexp, store, *network, *members, rows(*labels))
    budget = ("attack.steps=20", "attack.queries=500", "dataset.n=40")
    status, _, err = vqexp(*network, "attack=autoattack", *budget, store=store)
    assert (status, err) == (0, "")
    frame = results.load(store)
    chosen = (frame["attack"] == "AutoAttack") & (frame["metric"] == "robust_accuracy")
    expected = 100 * frame[chosen].iloc[-1]["mean"]
    assert 10 < expected < 90
    assert abs(worst - expected) <= 100 / 40 + 0.01


@pytest.mark.parametrize(
    ("eps", "text"), [(8 / 255, "8/255"), (0.3, "0.3"), (51 / 255, "0.2"), (0, "0"), (0.5 / 255, "0.001961")]
)
def test_an_eps_is_written_as_papers_do(eps, text):
    assert size_of(eps) == text


def test_pages_are_made_again_from_records(vqexp, store, tmp_path):
    labels = ("no attack", "PGD, cross-entropy", "PGD, margin", "curve: restarts", "PGD on another")
    common = ("defense=jpeg", *QUICK, "scale.audit.curves=8")
    surrogate = 'table.surrogate=["+adversary.training.epochs=2", "adversary.seed=3"]'
    for part in ((rows("curve: restarts"), "precision=bfloat16"), (rows("PGD on another"), surrogate)):
        assert vqexp("-m", "table=audit", *common, *part, store=store)[0] == 0
    page, worst = audit(vqexp, store, *common, rows(*labels[:3]))
    settings = load_audit(read_settings_of_audit())
    jpeg = [r for r in results.records(store) if r.config["defense"]["_target_"].endswith("JPEG")]
    wanted = [r for r in jpeg if any(label in r.reported.row for label in labels)]
    (result,) = all_audits(settings, wanted, Store(store)).values()
    again = audit_page(result, command_of(settings, result))
    table = [line for line in page.splitlines() if line.startswith("| ")]
    assert all(line in again for line in table)
    assert "table=audit" in again
    assert "defense=jpeg" in again
    assert f"'{surrogate}'\n" in again
    assert "# with precision=bfloat16 besides: curve: restarts\n" in again
    assert [path.suffix for path in draw_curves(result, tmp_path / "curves")] == [".pdf", ".png"]
    members = [
        Member.from_counts(Store(store).load("counts", record.key).tensors)
        for record in wanted
        if settings.kinds()[record.reported.row] in KINDS and "PGD" in record.reported.row
    ]
    assert 100 * worst_case(members).estimates()["mean"].mean <= worst + 1e-9


def read_settings_of_audit():
    from vqexp.core.config import CONF

    return read_settings(CONF / "table" / f"{AUDIT}.yaml")


def test_unknown_rows_list_what_exists():
    with pytest.raises(ConfigError, match=r"table\.without has 'Autoatack', a part of none of: no attack;"):
        load_audit({**read_settings_of_audit(), "without": ["Autoatack"]})


def test_rows_make_sense_or_not():
    """As a sweep would find it, for each kind of defense; what cannot be built is not judged."""
    audit = load_audit(read_settings_of_audit())
    jpeg = senseless(audit, {"_target_": "vqexp.defenses.JPEG", "quality": 75}, 10)
    assert {"PGD, true gradient", "PGD, soft assignment", "PGD, EOT", "gradients: true gradient"} <= set(jpeg)
    assert "JPEG has none" in jpeg["PGD, true gradient"]
    assert not {"PGD, cross-entropy", "AutoAttack, EOT", "curve: steps 1, ste"} & set(jpeg)
    assert (
        senseless(audit, {"_target_": "vqexp.defenses.PRD", "s": 2, "k": 4, "sigma": 0, "tau": 0}, 10) == {}
    )
    assert senseless(audit, {"_target_": "not_installed.Defense"}, 10) == {}
    inside = senseless(audit, {"_target_": "inner.InnerNoise"}, 10)
    assert "PGD, cross-entropy" not in inside
    assert not {"PGD, EOT", "AutoAttack, EOT", "curve: samples 4, eot"} & set(inside)


@pytest.mark.parametrize(
    ("defense", "gradient"),
    [
        ({"_target_": "vqexp.defenses.SwRD", "s": 2, "k": 4, "sigma": 0.1, "tau": 0.1, "beta": 1}, "ste"),
        ({"_target_": "vqexp.defenses.AdditiveNoise", "sigma": 0.7}, "exact"),
        ({"_target_": "my_package.MyDefense", "names": ["it's", None]}, "exact"),
    ],
)
def test_a_row_follows_the_gradient_that_suits_its_records_defense(defense, gradient):
    audit = load_audit(read_settings_of_audit())
    [[cell, *_]] = [choices for choices in audit.choices() if choices[0].row == "PGD, EOT"]
    groups = ("adversary", "attack", "metric")
    config = {
        name: composed(tuple(to_overrides(cell.settings)), name, "cpu", lambda *_: True) for name in groups
    }
    for followed in ("ste", "exact"):
        config["adversary"]["gradient"] = followed
        assert is_row(cell.settings, record({**config, "defense": defense})) == (followed == gradient)
