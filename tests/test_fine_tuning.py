"""A further training of f: where it starts, what it shares, its key, its place in names and cells."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from vqexp import results
from vqexp.classifiers import save_checkpoint, small_cnn
from vqexp.core.config import CONF, register_resolvers
from vqexp.core.errors import ConfigError
from vqexp.pipeline import prepare
from vqexp.pipeline.foundation import Foundation
from vqexp.pipeline.stages import Stages
from vqexp.reports.analysis.classifier import classifier_name
from vqexp.reports.analysis.trainings import family
from vqexp.reports.spec.cell import Cell
from vqexp.reports.spec.fill import Index
from vqexp.reports.sweep import forecast

QUICK = (
    "scale=smoke",
    "classifier.width=4",
    "dataset.train_n=100",
    "training.epochs=1",
    "defense=additive_noise",
)
TUNED = ("training@fine_tuning=quantized", "fine_tuning.epochs=1", "fine_tuning.lr=0.01")
STILL = (
    TUNED[0],
    "fine_tuning.epochs=1",
    "fine_tuning.lr=1e-30",
    "fine_tuning.weight_decay=0",
)  # moves nothing


@pytest.fixture
def foundation(tmp_path):
    register_resolvers()

    def made(*overrides):
        with initialize_config_dir(str(CONF), version_base=None):
            return Foundation(prepare(compose("config", [*QUICK, f"store.root={tmp_path}", *overrides])))

    return made


def same(one, other):
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def parameters(network):
    return [value for name, value in network.state_dict().items() if name.endswith(("weight", "bias"))]


def test_it_starts_from_the_trained_f(foundation):
    before = foundation().network
    after = foundation(*STILL).network
    for one, other in zip(parameters(before), parameters(after), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-20)
    assert not same(before, foundation(*TUNED).network)


def test_it_starts_from_a_checkpoint(foundation, tmp_path):
    torch.manual_seed(5)
    f = small_cnn((1, 8, 8), 10, width=4)
    save_checkpoint(f, path := tmp_path / "f.safetensors")
    given = f"classifier.checkpoint={path}"
    after = foundation(given, *STILL).network
    for one, other in zip(parameters(f), parameters(after), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-20)
    identity = foundation(given, *TUNED).classifier_identity
    assert identity["checkpoint"]
    assert "training" not in identity
    assert identity["defense"]


@pytest.mark.trains
def test_the_first_training_is_shared(foundation):
    """The f without fine-tuning is one artifact for all that are tuned from it."""
    experiment = foundation(*TUNED).experiment
    for own in ((), ("defense.sigma=0.3",)):
        assert foundation(*TUNED, *own).network is not None
    kept = list((experiment.store.root / "classifier").rglob("*.safetensors"))
    assert len(kept) == 3
    assert experiment.store.path("classifier", foundation().classifier_key) in kept


def test_a_key_has_both_trainings(foundation):
    settings = [
        (),
        TUNED,
        (*TUNED, "training.lr=0.02"),
        (*TUNED, "fine_tuning.lr=0.02"),
        (*TUNED, "defense.sigma=0.3"),
    ]
    keys = [foundation(*each).classifier_key for each in settings]
    assert len(set(keys)) == len(keys)
    identity = foundation(*TUNED).classifier_identity
    assert identity["training"] == foundation().classifier_identity["training"]


def test_a_surrogate_is_not_fine_tuned(foundation):
    surrogate = foundation(*TUNED, "adversary=transfer").experiment.surrogate
    assert list(surrogate.trainings) == ["training"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("fine_tuning.epochs=0",), r"fine_tuning: training\.epochs is 0; it must be an integer >= 1"),
        (("+fine_tuning.epoch=3",), r"fine_tuning has no epoch; vqexp\.training\.Descent takes"),
        (
            ("fine_tuning.start=some.safetensors",),
            r"fine_tuning\.start is set; it starts from the run's own f",
        ),
        (("defense=none",), "there is no defense"),
    ],
)
def test_bad_settings_are_refused_before_work(foundation, overrides, message):
    with pytest.raises(ConfigError, match=message):
        foundation(*TUNED, *overrides)


def test_a_run_names_it_and_cells_tell_it_apart(vqexp, tmp_path):
    few = (*QUICK, "attack.steps=1")
    for own in ((), TUNED):
        status, _, err = vqexp(*few, *own, store=tmp_path)
        assert (status, err) == (0, "")
    plain, tuned = sorted(results.records(tmp_path), key=lambda record: "fine_tuning" in record.config)
    assert ", fine-tuned by Quantized (epochs 1, " in classifier_name(tuned)
    assert "fine-tuned" not in classifier_name(plain)
    assert family(plain) != family(tuned)
    settings = {"defense": "additive_noise", "attack.steps": 1, "metric.runs": 2}
    cells = [
        Cell("mine", "row", "column", "robust_accuracy", {**settings, **own}, None)
        for own in ({}, {"training@fine_tuning": "quantized"})
    ]
    filled = [[each.key for each in Index([plain, tuned]).filling(cell)] for cell in cells]
    assert filled == [[plain.key], [tuned.key]]
    status, out, _ = vqexp(*few, *TUNED, "dry_run=true", store=tmp_path)
    assert (status, out.split()[0]) == (0, "cached")


def test_one_of_your_own_is_named_by_its_target(vqexp, tmp_path, monkeypatch):
    (tmp_path / "shrinking.py").write_text(
        "from vqexp.training import Training\n\n\nclass Shrink(Training):\n"
        "    def __init__(self, by=0.5):\n        self.by = by\n\n"
        "    def fit(self, classifier, train, **_):\n"
        "        for each in classifier.parameters():\n            each.data *= self.by\n        return {}\n"
    )
    monkeypatch.chdir(tmp_path)
    own = ("fine_tuning._target_=shrinking.Shrink", "fine_tuning.by=0.25")
    status, _, err = vqexp(*QUICK, *own, "attack=none", store=tmp_path / "store")
    assert (status, err) == (0, "")
    (record,) = results.records(tmp_path / "store")
    assert record.config["fine_tuning"] == {"_target_": "shrinking.Shrink", "by": 0.25}


@pytest.mark.trains
def test_the_trainings_that_are_missing_are_foretold(foundation, monkeypatch):
    asked = []
    monkeypatch.setattr(
        forecast, "_trained", lambda each, pace: asked.append(list(each.experiment.trainings)) or 0.0
    )

    def foretold():
        asked.clear()
        list(forecast.Forecast()._training(Stages(foundation(*TUNED).experiment), None))
        return sorted(asked)

    assert foretold() == [["training"], ["training", "fine_tuning"]]
    assert foundation().network is not None
    assert foretold() == [["training", "fine_tuning"]]
    assert foundation(*TUNED).network is not None
    assert foretold() == []
